//! An events file: whole lines, appended to the file of that name, which is rotated by size. Never truncates.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use log::warn;

use crate::config::Rotation;

/// An open events file.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    rotation: Rotation,
    lines: Lines<File>,
    /// Whether the next file could not be had, so that the log says it once.
    stuck: bool,
}

impl Appender {
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), rotation, lines: open(path)?, stuck: false })
    }

    /// Appends one line to the file that has the name now: one that was moved or deleted is not written to.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        match self.advance(line.len() as u64) {
            Ok(()) => self.stuck = false,
            Err(error) if self.lines.out.metadata()?.nlink() == 0 => return Err(error),
            // A file under another name, or too large a one, is better than a lost line.
            Err(error) => {
                if !std::mem::replace(&mut self.stuck, true) {
                    warn!("events stay in the old file: making {}: {error}", self.path.display());
                }
            }
        }
        self.lines.write(line.as_bytes())
    }

    /// Opens the file of that name, made anew if there is none; on failure the old one stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.lines = open(&self.path)?;
        Ok(())
    }

    /// Moves on to another file if this one has lost its name, or has no room for `more` bytes.
    fn advance(&mut self, more: u64) -> io::Result<()> {
        let ours = self.lines.out.metadata()?;
        let is_ours = |named: Metadata| (named.dev(), named.ino()) == (ours.dev(), ours.ino());
        if !fs::metadata(&self.path).is_ok_and(is_ours) {
            return self.reopen();
        }
        let is_full = self.rotation.max_size.is_some_and(|max| ours.len() > 0 && ours.len() + more > max);
        if is_full && ours.is_file() { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.rotation.keep).rev() {
            match fs::rename(self.old(number), self.old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.old(1))?;
        self.reopen()
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn open(path: &Path) -> io::Result<Lines<File>> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    // Reading is for the last byte; a pipe that was opened for reading would never tell that its reader has left.
    let is_file = fs::metadata(path).is_ok_and(|named| named.is_file());
    let file = options.read(is_file).open(path).or_else(|_| options.read(false).open(path))?;
    let torn = is_torn(&file).unwrap_or(false);
    Ok(Lines { out: file, torn })
}

/// Whether a file's last line lacks its end.
fn is_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// Lines that stay apart, whatever became of the one before.
#[derive(Debug)]
struct Lines<W> {
    out: W,
    /// The last line was written in part: the next begins on a fresh one.
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let fresh: &[u8] = if self.torn { b"\n" } else { b"" };
        let bytes = [fresh, line].concat();
        let mut written = 0;
        let done = loop {
            match self.out.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(more) if written + more == bytes.len() => break Ok(()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.torn = done.is_err() && (written > fresh.len() || self.torn && written == 0);
        done
    }
}

#[cfg(test)]
mod tests;
