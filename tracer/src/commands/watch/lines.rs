//! Failures as lines on standard output.

use std::{io, sync::atomic::Ordering};

use crate::{
    agent::Sink,
    config::{Target, WatchConfig},
    diagnose::{Diagnosis, EndHow, origin::OriginError},
    sinks::{stream::Format, summary::Summary, writer::Writer},
};

/// What was seen goes to a thread that writes.
pub(super) struct Lines {
    stream: Writer,
    summary: Summary,
    count: Option<u64>,
}

impl Lines {
    pub(super) fn open(config: &WatchConfig) -> io::Result<Self> {
        let format = if config.json { Format::Json } else { Format::Text };
        let stream = Writer::open(&Target::Stdout, format)?;
        Ok(Self { stream, summary: Summary::new(config.settings.reads_tls()), count: config.count })
    }

    /// Writes what waits. Gives what was seen, with the records that were shed here as lost.
    pub(super) fn close(self) -> io::Result<Summary> {
        let (mut summary, shed) = (self.summary, self.stream.shed());
        Writer::close([self.stream])?;
        summary.lost = shed.load(Ordering::Relaxed);
        Ok(summary)
    }

    fn has_enough(&self) -> bool {
        self.count.is_some_and(|count| self.summary.failures() >= count)
    }
}

impl Sink for Lines {
    fn failure(&mut self, diagnosis: &Diagnosis) {
        if !self.has_enough() {
            self.summary.add(diagnosis);
            self.stream.write(diagnosis);
        }
    }

    fn origin_error(&mut self, error: &OriginError, in_detail: bool) {
        if self.has_enough() {
            return;
        }
        self.summary.add_origin(error);
        if in_detail {
            self.stream.write_origin(error);
        }
    }

    fn process_end(&mut self, _process: &str, _how: EndHow) {}

    fn oom_kill(&mut self, _process: &str) {}

    fn reopen(&mut self) {
        self.stream.reopen();
    }

    fn alive(&mut self) {}

    fn is_done(&mut self) -> io::Result<bool> {
        self.stream.failure().map_or(Ok(self.has_enough()), Err)
    }
}
