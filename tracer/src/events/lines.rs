//! The lines of a file that may be larger than memory, one after the other, or only those that hold some bytes.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memmem::Finder, memrchr};

/// Longest line that is looked at, in bytes; today's events have some thousand. A longer one is passed over.
pub const MAX_LINE: usize = 256 << 10;
/// What is held of a file at once, in bytes.
const BUFFER: usize = 2 * MAX_LINE;
/// Most bytes of one file that are read, unpacked where it is packed.
const MAX_BYTES: u64 = 64 << 30;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    pub bytes: &'a [u8],
    /// The file ends within it.
    pub is_open: bool,
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// The next byte to look at.
    at: usize,
    /// Behind the last whole line.
    whole: usize,
    /// Behind the last byte that was read.
    filled: usize,
    number: u64,
    too_long: u64,
    read: u64,
    has_ended: bool,
}

impl<R: Read> Lines<R> {
    #[must_use]
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            at: 0,
            whole: 0,
            filled: 0,
            number: 0,
            too_long: 0,
            read: 0,
            has_ended: false,
        }
    }

    /// Bytes read so far, unpacked.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Lines begun so far.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.number
    }

    /// Lines that were passed over because they are longer than [`MAX_LINE`].
    #[must_use]
    pub const fn too_long(&self) -> u64 {
        self.too_long
    }

    /// The next line; with a `needle`, the next one that holds it. Blank ones are left out. `None`: no more.
    ///
    /// # Errors
    /// What reading gives; a file that never ends.
    pub fn next(&mut self, needle: Option<&Finder<'_>>) -> io::Result<Option<Line<'_>>> {
        let (begin, end) = loop {
            if self.at == self.whole && !self.refill()? {
                return Ok(None);
            }
            let rest = &self.buffer[self.at..self.whole];
            let hit = match needle {
                None => 0,
                Some(needle) => match needle.find(rest) {
                    Some(hit) => hit,
                    None => {
                        self.number += count(rest);
                        self.at = self.whole;
                        continue;
                    }
                },
            };
            let from = memrchr(b'\n', &rest[..hit]).map_or(0, |end| end + 1);
            let to = memchr(b'\n', &rest[hit..]).map_or(rest.len(), |end| hit + end);
            self.number += count(&rest[..from]) + 1;
            let (begin, end) = (self.at + from, self.at + to);
            self.at = self.whole.min(end + 1);
            if end - begin > MAX_LINE {
                self.too_long += 1;
            } else if !self.buffer[begin..end].trim_ascii().is_empty() {
                break (begin, end);
            }
        };
        let is_open = self.has_ended && end == self.whole;
        Ok(Some(Line { number: self.number, bytes: &self.buffer[begin..end], is_open }))
    }

    /// Reads on to the end of a line at least; `false`: there is nothing more.
    fn refill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.whole..self.filled, 0);
        self.filled -= self.whole;
        (self.at, self.whole) = (0, 0);
        let mut is_skipping = false;
        while !self.has_ended {
            if self.filled == self.buffer.len() {
                is_skipping = true;
            }
            if is_skipping {
                self.filled = 0;
            }
            let more = match self.input.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                more => more?,
            };
            self.read += more as u64;
            if self.read > MAX_BYTES {
                return Err(io::Error::other(format!("it holds more than {} GiB", MAX_BYTES >> 30)));
            }
            let old = self.filled;
            self.filled += more;
            self.has_ended = more == 0;
            if is_skipping {
                let Some(end) = memchr(b'\n', &self.buffer[..self.filled]) else { continue };
                self.buffer.copy_within(end + 1..self.filled, 0);
                self.filled -= end + 1;
                is_skipping = false;
                self.skipped();
                self.whole = memrchr(b'\n', &self.buffer[..self.filled]).map_or(0, |end| end + 1);
            } else {
                self.whole = memrchr(b'\n', &self.buffer[old..self.filled]).map_or(0, |end| old + end + 1);
            }
            if self.whole > 0 {
                return Ok(true);
            }
        }
        if is_skipping {
            self.skipped();
            self.filled = 0;
        }
        self.whole = self.filled;
        Ok(self.whole > 0)
    }

    fn skipped(&mut self) {
        self.too_long += 1;
        self.number += 1;
    }
}

/// Line ends.
fn count(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at once.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let more = self.0.len().min(self.1).min(into.len());
            let (now, later) = self.0.split_at(more);
            into[..more].copy_from_slice(now);
            self.0 = later;
            Ok(more)
        }
    }

    fn all(text: &[u8], step: usize, needle: Option<&[u8]>) -> Vec<(u64, String, bool)> {
        let finder = needle.map(Finder::new);
        let mut lines = Lines::new(Slow(text, step));
        let mut found = Vec::new();
        while let Some(line) = lines.next(finder.as_ref()).unwrap() {
            found.push((line.number, String::from_utf8_lossy(line.bytes).into_owned(), line.is_open));
        }
        assert_eq!(lines.read(), text.len() as u64);
        found
    }

    #[test]
    fn lines_come_whole_with_their_numbers_however_they_are_read() {
        let text = b"one\n\n  \nfour\r\nfive\nsix";
        let expected = [(1, "one", false), (4, "four\r", false), (5, "five", false), (6, "six", true)];
        for step in 1..text.len() + 2 {
            let found = all(text, step, None);
            assert_eq!(found, expected.map(|(number, text, open)| (number, text.to_owned(), open)), "{step}");
            assert_eq!(all(text, step, Some(b"ix")), [(6, "six".to_owned(), true)], "{step}");
            assert_eq!(all(text, step, Some(b"i")).iter().map(|line| line.0).collect::<Vec<_>>(), [5, 6], "{step}");
            assert_eq!(all(text, step, Some(b"seven")), []);
        }
        assert_eq!(all(b"", 1, None), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_counted() {
        for long in [MAX_LINE + 1, BUFFER - 1, BUFFER, BUFFER + 1, BUFFER * 3] {
            for end in ["\nlast", "\nlast\n", ""] {
                let text = format!("first\n{}{end}", "x".repeat(long));
                let mut lines = Lines::new(text.as_bytes());
                let mut found = Vec::new();
                while let Some(line) = lines.next(None).unwrap() {
                    found.push((line.number, String::from_utf8_lossy(line.bytes).into_owned()));
                }
                let expected = [(1, "first".to_owned()), (3, "last".to_owned())];
                assert_eq!(found, expected[..if end.is_empty() { 1 } else { 2 }], "{long} {end:?}");
                assert_eq!(lines.too_long(), 1, "{long} {end:?}");
            }
        }
        let fits = "y".repeat(MAX_LINE);
        assert_eq!(all(fits.as_bytes(), 1 << 16, None)[0].1.len(), MAX_LINE);
    }
}
