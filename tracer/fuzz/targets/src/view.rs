//! The live view.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};
use tracer::diagnose::origin::{OriginEvidence, origin_error};
use tracer::http::Request;
use tracer::view::{Input, Key, Listening, Numbers, View, draw};

/// Keys beside characters.
const KEYS: [Key; 11] = [
    Key::Up,
    Key::Down,
    Key::PageUp,
    Key::PageDown,
    Key::Home,
    Key::End,
    Key::Enter,
    Key::Escape,
    Key::Backspace,
    Key::Char('/'),
    Key::Char(' '),
];
/// Lines of the input that are taken: each is drawn.
const LINES: usize = 64;

/// A window's columns and rows, one byte each, and lines: the first byte of a line says whether the rest is a record's
/// text, a note, the name of a process that listens, or keys. No panic, and no cell with what a terminal acts on.
pub fn view(bytes: &[u8]) {
    let Some(([columns, rows], rest)) = bytes.split_first_chunk() else { return };
    let backend = TestBackend::new(u16::from(*columns).max(1), u16::from(*rows).max(1));
    let Ok(mut terminal) = Terminal::new(backend);
    let mut view = View::default();
    for (number, line) in (0_u64..).zip(rest.split(|byte| *byte == b'\n').take(LINES)) {
        let Some((kind, text)) = line.split_first() else { continue };
        feed(&mut view, Duration::from_millis(number * 300), *kind, &String::from_utf8_lossy(text));
        let Ok(_) = terminal.draw(|frame| draw(&view, frame, kind % 2 == 0));
        let symbols = terminal.backend().buffer().content().iter().flat_map(|cell| cell.symbol().chars());
        symbols.for_each(|c| assert!(!c.is_control() && !is_direction(c), "{c:?} in a cell"));
    }
}

fn feed(view: &mut View, at: Duration, kind: u8, text: &str) {
    match kind % 4 {
        0 => record(view, at, text),
        1 => drop(view.update(at, Input::Note(text.to_owned()))),
        2 => {
            let listening = vec![Listening { port: u16::from(kind), process: text.to_owned() }];
            view.update(at, Input::Numbers(Numbers { exchanges: at.as_secs(), lost: 0, listening }));
        }
        _ => text.chars().for_each(|c| {
            let index = u32::from(c) as usize;
            let key = if c.is_ascii_lowercase() { KEYS[index % KEYS.len()] } else { Key::Char(c) };
            let _effect = view.update(at, Input::Key(key));
        }),
    }
}

fn record(view: &mut View, at: Duration, text: &str) {
    let value = || Some(text.to_owned());
    let mut error = origin_error(&OriginEvidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        status: 502,
        peer: ([173, 245, 48, 10].into(), 1),
        local: ([10, 0, 0, 5].into(), 80),
        netns: None,
        exchanges: None,
        age: None,
        request: Request { method: value(), host: value(), path: value(), ray: value() },
        took: None,
        process: None,
        tries: 0,
        upstream: None,
        behind: None,
        sees_unix: true,
        stream: None,
        is_shared: false,
    });
    (error.process, error.upstream.upstream_process, error.upstream.upstream_addr) = (value(), value(), value());
    error.evidence.push(text.to_owned());
    view.update(at, Input::OriginError { error: &error, in_detail: true });
}

/// Whether a terminal may turn text around for it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_directions_and_keys_at_every_prefix() {
        let sample =
            "P\x18\x04/a\x1b[2J\u{202e}\n\x05note\x07\n\x06ng\u{9b}inx\n\x07/PORT:80\x0b\n\x07?G /Q\n\x04/日本\n";
        (0..sample.len()).for_each(|end| view(&sample.as_bytes()[..end]));
    }
}
