//! `tracer watch` as one would run it: its lines go to our standard output as they come, and are remembered.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::SCENES;
use lab::{procs, wait};

/// Loading and attaching may take so long.
const READY: Duration = Duration::from_secs(15);
/// The summary may take so long after the interrupt.
const END: Duration = Duration::from_secs(3);
/// The lines of one failure come closer together than this.
const QUIET: Duration = Duration::from_millis(200);
/// Causes that the demo does not make: telling one of them is a false alarm.
const OTHERS: [&str; 7] = [
    "supervisor_kill",
    "process_killed",
    "process_exit",
    "listener_closed",
    "closed_before_request",
    "closed_unread",
    "unexplained",
];

/// A running `tracer watch`.
pub(super) struct Watch {
    child: Child,
    lines: Receiver<String>,
    tees: Vec<JoinHandle<()>>,
    told: Vec<String>,
}

impl Watch {
    /// Starts it and waits until it says that it is ready.
    pub(super) fn start(tracer: &Path) -> Result<Self> {
        let mut child = Command::new(tracer)
            .arg("watch")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {} watch", tracer.display()))?;
        let (output, log) = (child.stdout.take(), child.stderr.take());
        let (say, lines) = channel();
        let (log_say, log_lines) = channel();
        let tees = vec![
            tee(output.context("no standard output")?, say, |line| println!("{line}")),
            tee(log.context("no standard error")?, log_say, |line| eprintln!("{line}")),
        ];
        let mut watch = Self { child, lines, tees, told: Vec::new() };
        watch.wait_ready(&log_lines)?;
        Ok(watch)
    }

    fn wait_ready(&mut self, log: &Receiver<String>) -> Result<()> {
        wait::until("tracer watch to be ready", READY, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("tracer watch ended before it was ready ({status})");
            }
            Ok(log.try_iter().any(|line| line.contains("ready")).then_some(()))
        })
    }

    /// Waits until the cause is told.
    pub(super) fn wait_for(&mut self, cause: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if self.note(&line) == Some(cause) {
                        return self.let_finish();
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no line about {cause} within {} s", limit.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("tracer watch has ended"),
            }
        }
    }

    /// Lets the lines that belong to a failure come: they end when no more do.
    fn let_finish(&mut self) -> Result<()> {
        while let Ok(line) = self.lines.recv_timeout(QUIET) {
            self.note(&line);
        }
        Ok(())
    }

    /// Remembers the cause that a line tells.
    fn note(&mut self, line: &str) -> Option<&'static str> {
        let cause = cause_in(line)?;
        self.told.push(cause.to_owned());
        Some(cause)
    }

    /// Interrupts it, shows the summary, and returns the causes told before, in order.
    pub(super) fn finish(mut self) -> Result<Vec<String>> {
        while let Ok(line) = self.lines.try_recv() {
            self.note(&line);
        }
        procs::signal(self.child.id(), Signal::INT);
        let status = wait::until("tracer watch to end", END, || Ok(self.child.try_wait()?))?;
        for tee in self.tees.drain(..) {
            // It ends with the pipe, and the pipe with the process.
            let _ = tee.join();
        }
        ensure!(status.success(), "tracer watch ended with {status}");
        Ok(std::mem::take(&mut self.told))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes every line on to `show` and to the channel, whether or not anybody still listens there.
fn tee(from: impl Read + Send + 'static, to: Sender<String>, show: fn(&str)) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            show(&line);
            let _ = to.send(line);
        }
    })
}

/// The cause that a line names, if it names one. Indented lines explain the one before them.
fn cause_in(line: &str) -> Option<&'static str> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let is_word = |word: &str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|part| part == word);
    SCENES.iter().map(|scene| scene.cause).chain(OTHERS).find(|cause| is_word(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_a_whole_word() {
        assert_eq!(cause_in("10:00:00 520 oom_kill (certain) nginx"), Some("oom_kill"));
        assert_eq!(cause_in("nginx crashed"), None);
        assert_eq!(cause_in("    the crash of nginx"), None);
        assert_eq!(cause_in("cause=crash: worker"), Some("crash"));
    }
}
