//! What commands that look back share: the events of the sources that were asked for, and words on standard error.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use crate::config::Past;
use crate::events::{Answer, Events, Source, ask};

/// The events of the sources; without any, of the running daemon, whose answer comes with them.
pub(super) fn events(past: &Past) -> Result<(Events, Option<Answer>)> {
    let paths = past.paths.iter().cloned().map(Source::Path);
    let sources: Vec<_> = paths.chain(past.journal.clone().map(Source::Journal)).collect();
    if !sources.is_empty() {
        return Ok((Events::find(sources)?, None));
    }
    let answer = ask(past.listen)?;
    Ok((Events::find(vec![Source::Daemon(answer.clone())])?, Some(answer)))
}

/// Says on standard error what was passed over.
pub(super) fn note(words: &[String]) {
    let mut err = io::stderr().lock();
    for word in words {
        // Who closed standard error does not want to know.
        let _ = writeln!(err, "tracer: {word}");
    }
}

/// Writes the whole answer; a reader that has left is a normal end.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}
