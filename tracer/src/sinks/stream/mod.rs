//! Failures as lines: NDJSON for programs, text for people; or as entries of the journal. One write per failure.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::appender::Appender;
use super::journal::Journal;
use super::told::Told;
use super::{escape, text};
use crate::config::{JOURNAL_SOCKET, Target};
use crate::diagnose::{Diagnosis, origin::OriginError};

/// How a failure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The record of the outward contract, one object a line.
    Json,
    /// A headline with evidence and advice; in colour on a terminal, unless `NO_COLOR` or `CLICOLOR=0` is set.
    Text,
}

/// What is open.
#[derive(Debug)]
enum Output {
    Stdout(File),
    File(Appender),
    Journal(Journal),
}

/// An open stream of failures.
#[derive(Debug)]
pub struct Stream {
    output: Output,
    wording: Wording,
}

/// What lines say.
#[derive(Debug)]
struct Wording {
    format: Format,
    colour: bool,
    /// The advice last written: it is not repeated while one failure follows another of its kind.
    advice: Option<(&'static str, String)>,
}

impl Stream {
    /// Opens `target`.
    ///
    /// # Errors
    /// The file can't be opened or made, or no journal listens.
    pub fn open(target: &Target, format: Format) -> io::Result<Self> {
        let output = match target {
            Target::Stdout => Output::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            Target::File(path, rotation) => Output::File(Appender::open(path, *rotation)?),
            Target::Journal => Output::Journal(Journal::open(Path::new(JOURNAL_SOCKET))?),
        };
        let colour = matches!(&output, Output::Stdout(file) if AutoStream::choice(file) != ColorChoice::Never);
        Ok(Self { output, wording: Wording { format, colour, advice: None } })
    }

    /// Writes one failure, at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the reader has left; a full disk and the like otherwise.
    pub fn write(&mut self, diagnosis: &Diagnosis) -> io::Result<()> {
        match &mut self.output {
            Output::Stdout(file) => file.write_all(self.wording.lines(diagnosis)?.as_bytes()),
            Output::File(file) => file.write(&self.wording.lines(diagnosis)?),
            Output::Journal(journal) => journal.write(diagnosis),
        }
    }

    /// Writes one of the origin's own answers of 5xx, at once.
    ///
    /// # Errors
    /// As [`Stream::write`].
    pub fn write_origin(&mut self, error: &OriginError) -> io::Result<()> {
        match &mut self.output {
            Output::Stdout(file) => file.write_all(self.wording.origin_lines(error)?.as_bytes()),
            Output::File(file) => file.write(&self.wording.origin_lines(error)?),
            Output::Journal(journal) => journal.write_origin(error),
        }
    }

    /// Opens the file anew, for a log that was rotated; on failure the old one stays in use.
    ///
    /// # Errors
    /// The file can't be opened or made.
    pub fn reopen(&mut self) -> io::Result<()> {
        match &mut self.output {
            Output::File(file) => file.reopen(),
            Output::Stdout(_) | Output::Journal(_) => Ok(()),
        }
    }
}

impl Wording {
    fn lines(&mut self, diagnosis: &Diagnosis) -> io::Result<String> {
        match self.format {
            Format::Json => json_line(diagnosis),
            Format::Text => self.text(diagnosis.cause.name(), &diagnosis.into()),
        }
    }

    fn origin_lines(&mut self, error: &OriginError) -> io::Result<String> {
        match self.format {
            Format::Json => json_line(error),
            Format::Text => self.text(error.cause.name(), &error.into()),
        }
    }

    fn text(&mut self, cause: &'static str, told: &Told<'_>) -> io::Result<String> {
        let is_news =
            self.advice.as_ref().is_none_or(|(last, advice)| (*last, advice.as_str()) != (cause, told.advice));
        let mut lines = String::new();
        text::write(&mut lines, told, self.colour, is_news).map_err(io::Error::other)?;
        self.advice = Some((cause, told.advice.to_owned()));
        Ok(lines)
    }
}

/// One record as a line of NDJSON, the line end included; harmless on a terminal too.
pub(crate) fn json_line(record: &impl Serialize) -> io::Result<String> {
    let record = serde_json::to_string(record)?;
    let mut line = escape::json(&record).into_owned();
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests;
