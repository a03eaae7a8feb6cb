//! Lines of the log while a view owns the terminal: they are held back, and the newest is shown in the view.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lines that are held back; of more, the oldest go.
const HELD: usize = 100;
/// Longest line that is held back, in bytes.
const LONGEST: usize = 4096;

/// Where the log goes: to standard error, or for a while into memory.
#[derive(Clone, Debug, Default)]
pub struct LogLines(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// `None`: lines go to standard error.
    held: Option<VecDeque<Vec<u8>>>,
    /// The last one has not been shown.
    is_news: bool,
}

impl LogLines {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds lines back from now on.
    pub(super) fn hold(&self) {
        self.lines().held.get_or_insert_default();
    }

    /// Writes what was held back to standard error, where lines go again.
    pub(super) fn release(&self) {
        let held = self.lines().held.take();
        let mut out = io::stderr().lock();
        for line in held.into_iter().flatten() {
            // There is nobody else to tell.
            let _ = out.write_all(&line);
        }
    }

    /// The newest line, without colours; once.
    pub(super) fn newest(&self) -> Option<String> {
        let mut lines = self.lines();
        if !std::mem::take(&mut lines.is_news) {
            return None;
        }
        let line = String::from_utf8_lossy(lines.held.as_ref()?.back()?).into_owned();
        Some(anstream::adapter::strip_str(line.trim_end()).to_string())
    }
}

impl Write for LogLines {
    /// Takes one line, as a logger gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines();
        let Some(held) = &mut lines.held else {
            drop(lines);
            io::stderr().write_all(line)?;
            return Ok(line.len());
        };
        if held.len() == HELD {
            held.pop_front();
        }
        let kept = &line[..line.len().min(LONGEST)];
        held.push_back(if kept.len() < line.len() { [kept, b"\n"].concat() } else { kept.to_owned() });
        lines.is_news = true;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_held_back_and_the_newest_is_told_once() {
        let mut log = LogLines::default();
        log.hold();
        for number in 0..HELD + 7 {
            writeln!(log, "line {number}").unwrap();
        }
        log.write_all(b"\x1b[33mWARN\x1b[0m last\n").unwrap();
        assert_eq!(log.newest().as_deref(), Some("WARN last"));
        assert_eq!(log.newest(), None);
        log.write_all(&vec![b'x'; LONGEST * 2]).unwrap();
        let lines = log.lines();
        let held = lines.held.as_ref().unwrap();
        assert_eq!((held.len(), held.back().map(Vec::len)), (HELD, Some(LONGEST + 1)));
    }
}
