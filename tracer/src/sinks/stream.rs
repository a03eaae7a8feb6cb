//! Failures as lines: NDJSON for programs, text for people. One write per failure, so that lines stay whole.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::{escape, text};
use crate::diagnose::{Cause, Diagnosis};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, appended to; made with mode 0640.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How a failure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The record of the outward contract, one object a line.
    Json,
    /// A headline with evidence and advice; in colour on a terminal, unless `NO_COLOR` is set.
    Text,
}

/// An open stream of failures.
#[derive(Debug)]
pub struct Stream {
    target: Target,
    format: Format,
    file: File,
    colour: bool,
    /// The advice last written: it is not repeated while one failure follows another of its kind.
    advice: Option<(Cause, String)>,
}

impl Stream {
    /// Opens `target`.
    ///
    /// # Errors
    /// The file can't be opened or made.
    pub fn open(target: &Target, format: Format) -> io::Result<Self> {
        let file = open(target)?;
        let colour = file.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Self { target: target.clone(), format, file, colour, advice: None })
    }

    /// Where the lines go.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Writes one failure, at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the reader has left; a full disk and the like otherwise.
    pub fn write(&mut self, diagnosis: &Diagnosis) -> io::Result<()> {
        let lines = match self.format {
            Format::Json => json_line(diagnosis)?,
            Format::Text => self.text(diagnosis)?,
        };
        self.file.write_all(lines.as_bytes())
    }

    /// Opens the file anew, for a log that was rotated; on failure the old one stays in use.
    ///
    /// # Errors
    /// The file can't be opened or made.
    pub fn reopen(&mut self) -> io::Result<()> {
        if matches!(self.target, Target::File(_)) {
            self.file = open(&self.target)?;
        }
        Ok(())
    }

    fn text(&mut self, diagnosis: &Diagnosis) -> io::Result<String> {
        let advice = (diagnosis.cause, diagnosis.advice.clone());
        let is_news = self.advice.as_ref() != Some(&advice);
        let mut lines = String::new();
        text::write(&mut lines, diagnosis, self.colour, is_news).map_err(io::Error::other)?;
        self.advice = Some(advice);
        Ok(lines)
    }
}

/// One failure as a line of NDJSON, the line end included; harmless on a terminal too.
fn json_line(diagnosis: &Diagnosis) -> io::Result<String> {
    let record = serde_json::to_string(diagnosis)?;
    let mut line = escape::json(&record).into_owned();
    line.push('\n');
    Ok(line)
}

fn open(target: &Target) -> io::Result<File> {
    match target {
        Target::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        Target::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path),
    }
}

#[cfg(test)]
mod tests;
