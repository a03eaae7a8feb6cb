//! A stream of failures on a thread of its own, behind a bounded queue: a reader that stalls never stalls the agent.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use log::warn;

use super::stream::{Format, Stream, Target};
use crate::diagnose::Diagnosis;

/// Failures that may wait for a slow reader; more are shed and counted.
const QUEUE: usize = 4096;
/// Time for what waits to be written when the agent ends.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two warnings of the same kind.
const QUIET: Duration = Duration::from_secs(10);

enum Order {
    Write(Box<Diagnosis>),
    Reopen,
}

/// Hands failures to the writing thread.
pub struct Writer {
    orders: SyncSender<Order>,
    finished: Receiver<()>,
    shed: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Writer {
    /// Opens `target` and starts the thread.
    ///
    /// # Errors
    /// The target can't be opened, or no thread can be started.
    pub fn open(target: &Target, format: Format) -> io::Result<Self> {
        let stream = Stream::open(target, format)?;
        let (orders, waiting) = sync_channel(QUEUE);
        let (finish, finished) = sync_channel(1);
        let shed = Arc::new(AtomicU64::new(0));
        let failure = Arc::new(Mutex::new(None));
        let thread = Thread {
            stream,
            is_file: matches!(target, Target::File(_)),
            shed: Arc::clone(&shed),
            failure: Arc::clone(&failure),
            warned: None,
        };
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            thread.run(&waiting);
            let _nobody_waits = finish.send(());
        })?;
        Ok(Self { orders, finished, shed, failure })
    }

    /// Queues one failure; sheds and counts it where the queue is full.
    pub fn write(&self, diagnosis: &Diagnosis) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(Order::Write(Box::new(diagnosis.clone()))) {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, after what waits was written.
    pub fn reopen(&self) {
        // A full queue, or a thread that has ended: there is nothing to open anew for.
        let _full = self.orders.try_send(Order::Reopen);
    }

    /// The error that ended the thread, once.
    pub fn failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Failures shed or not written so far.
    #[must_use]
    pub fn shed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shed)
    }

    /// Waits until all that waits is written, for a second at most; gives the error that ended the thread, if one did.
    ///
    /// # Errors
    /// Where the target could not be written to.
    pub fn close(self) -> io::Result<()> {
        drop(self.orders);
        match self.finished.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => warn!("the reader of the events is too slow: the last ones are lost"),
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }
}

struct Thread {
    stream: Stream,
    is_file: bool,
    shed: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<io::Error>>>,
    warned: Option<Instant>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        for order in orders {
            let done = match order {
                Order::Write(diagnosis) => self.stream.write(&diagnosis),
                Order::Reopen => self.stream.reopen(),
            };
            let Err(error) = done else { continue };
            // A full disk must not stop the counting; standard output that is gone ends the work.
            if self.is_file {
                self.shed.fetch_add(1, Ordering::Relaxed);
                self.warn(&error);
            } else {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|at| at.elapsed() >= QUIET) {
            self.warned = Some(Instant::now());
            warn!("writing the events file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::sample::diagnosis;

    #[test]
    fn what_was_queued_is_written_before_the_end() {
        let path = std::env::temp_dir().join(format!("tracer-writer-{}", std::process::id()));
        let writer = Writer::open(&Target::File(path.clone()), Format::Json).unwrap();
        for _ in 0..100 {
            writer.write(&diagnosis());
        }
        writer.close().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 100);
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        let writer = Writer::open(&Target::File("/dev/full".into()), Format::Json).unwrap();
        let shed = writer.shed();
        writer.write(&diagnosis());
        writer.close().unwrap();
        assert_eq!(shed.load(Ordering::Relaxed), 1);
    }
}
