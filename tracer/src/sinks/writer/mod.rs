//! A stream of failures on a thread of its own, behind a bounded queue: a reader that stalls never stalls the agent.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use log::{info, warn};

use super::stream::{Format, Stream};
use crate::config::Target;
use crate::diagnose::{Diagnosis, origin::OriginError};

/// Failures that may wait for a slow reader; more are shed and counted.
const QUEUE: usize = 4096;
/// Time for what waits to be written when the agent ends.
const PATIENCE: Duration = Duration::from_secs(1);

enum Order {
    Write(Box<Diagnosis>),
    WriteOrigin(Box<OriginError>),
    /// Nothing to write, but something else to look at.
    Wake,
}

/// Hands failures to the writing thread.
pub struct Writer {
    orders: SyncSender<Order>,
    finished: Receiver<()>,
    reopen: Arc<AtomicBool>,
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
        let reopen = Arc::new(AtomicBool::new(false));
        let shed = Arc::new(AtomicU64::new(0));
        let failure = Arc::new(Mutex::new(None));
        let thread = Thread {
            stream,
            target: target.clone(),
            reopen: Arc::clone(&reopen),
            shed: Arc::clone(&shed),
            failure: Arc::clone(&failure),
            lost: None,
        };
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            thread.run(&waiting);
            let _nobody_waits = finish.send(());
        })?;
        Ok(Self { orders, finished, reopen, shed, failure })
    }

    /// Queues one failure; sheds and counts it where the queue is full.
    pub fn write(&self, diagnosis: &Diagnosis) {
        self.order(Order::Write(Box::new(diagnosis.clone())));
    }

    /// The same for one of the origin's own answers of 5xx.
    pub fn write_origin(&self, error: &OriginError) {
        self.order(Order::WriteOrigin(Box::new(error.clone())));
    }

    fn order(&self, order: Order) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(order) {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, before the next failure is written.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // A full queue wakes the thread as well.
        let _full = self.orders.try_send(Order::Wake);
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

    /// Waits until all that waits in any of them is written, for a second at most; gives the error that ended a thread,
    /// if one did.
    ///
    /// # Errors
    /// Where a target could not be written to.
    pub fn close(writers: impl IntoIterator<Item = Self>) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        let closed = |writer: Self| (writer.finished, writer.failure);
        let mut result = Ok(());
        for (finished, failure) in writers.into_iter().map(closed).collect::<Vec<_>>() {
            match finished.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
                Err(RecvTimeoutError::Timeout) => warn!("the reader of the events is too slow: the last ones are lost"),
            }
            result = result.and(failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err));
        }
        result
    }
}

struct Thread {
    stream: Stream,
    target: Target,
    reopen: Arc<AtomicBool>,
    shed: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<io::Error>>>,
    /// Failures lost since the target stopped taking them; `None`: it takes them.
    lost: Option<u64>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        for order in orders {
            if self.reopen.swap(false, Ordering::Acquire)
                && let Err(error) = self.stream.reopen()
            {
                warn!("opening {} anew: {error}; the old one stays in use", self.target);
            }
            let written = match order {
                Order::Write(diagnosis) => self.stream.write(&diagnosis),
                Order::WriteOrigin(error) => self.stream.write_origin(&error),
                Order::Wake => continue,
            };
            match written {
                Ok(()) => self.written(),
                // A full disk must not stop the counting; standard output that is gone ends the work.
                Err(error) if self.target == Target::Stdout => {
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                }
                Err(error) => self.lose(&error),
            }
        }
    }

    fn written(&mut self) {
        if let Some(lost) = self.lost.take() {
            info!("writing to {} works again; {lost} events were lost", self.target);
        }
    }

    /// Counts a loss; only the first of a row is logged.
    fn lose(&mut self, error: &io::Error) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        if self.lost.is_none() {
            warn!("writing to {}: {error}; events are lost, and counted, until it works again", self.target);
        }
        *self.lost.get_or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests;
