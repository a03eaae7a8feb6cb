//! Keys from the terminal.

use std::{io, os::fd::AsFd as _, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::view::Key;

/// The next key. `None`: none within this time, or none that the view knows.
///
/// # Errors
/// [`io::ErrorKind::BrokenPipe`] where the terminal is gone.
pub(super) fn next(within: Duration) -> io::Result<Option<Key>> {
    // Keys that were read along with the last one wait in the library.
    is_readable(Duration::ZERO)?;
    if !event::poll(Duration::ZERO)? && !(is_readable(within)? && event::poll(Duration::ZERO)?) {
        return Ok(None);
    }
    match event::read()? {
        Event::Key(pressed) if pressed.kind != KeyEventKind::Release => Ok(key(pressed)),
        _ => Ok(None),
    }
}

/// Whether there is something to read within this time. The library would read for ever from a terminal that is gone.
fn is_readable(within: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    let time = Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: within.subsec_nanos().into() };
    match poll(&mut fds, Some(&time)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(true)
}

fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return (pressed.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    match pressed.code {
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        KeyCode::Char(c) if !pressed.modifiers.contains(KeyModifiers::ALT) => Some(Key::Char(c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_no_letter_and_other_chords_are_nothing() {
        let pressed = |c, modifiers| key(KeyEvent::new(KeyCode::Char(c), modifiers));
        assert_eq!(pressed('c', KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(pressed('G', KeyModifiers::SHIFT), Some(Key::Char('G')));
        assert_eq!(pressed('c', KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(pressed('q', KeyModifiers::CONTROL), None);
        assert_eq!(pressed('q', KeyModifiers::ALT), None);
        assert_eq!(key(KeyEvent::from(KeyCode::F(1))), None);
    }
}
