//! The operator's clipboard, by way of the terminal (OSC 52): it works over ssh, where the terminal allows it.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Sends the text in one piece, so that it does not get into the middle of a frame.
pub(super) fn copy(text: &str) -> io::Result<()> {
    let mut terminal = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    terminal.write_all(sequence(text).as_bytes())
}

fn sequence(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_encoded_so_that_it_can_not_end_the_sequence() {
        assert_eq!(sequence("7d12-LAX"), "\x1b]52;c;N2QxMi1MQVg=\x07");
        assert_eq!(sequence("\x07\x1b"), "\x1b]52;c;Bxs=\x07");
    }
}
