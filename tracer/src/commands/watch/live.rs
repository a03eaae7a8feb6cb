//! The live view on threads of its own: one reads keys, one draws. A terminal that stalls never stalls the agent, which
//! waits for the view's lock at most: drawing into memory is done under it, writing to the terminal is not.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{clipboard, keep, keys, log::LogLines, screen::Screen};
use crate::{
    agent::Sink,
    diagnose::{Diagnosis, EndHow, origin::OriginError},
    sinks::summary::Summary,
    view::{Effect, Input, Numbers, View},
};

/// Shortest time from one frame to the next.
const FRAME: Duration = Duration::from_millis(100);
/// Time for the terminal to take the last bytes.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the threads and the agent share.
struct Common {
    view: Mutex<View>,
    started: Instant,
    /// Asks the threads to end.
    stop: AtomicBool,
    /// Tells the agent that the view has ended.
    ended: Notify,
    failure: Mutex<Option<io::Error>>,
    log: LogLines,
}

impl Common {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, input: Input<'_>) -> Option<Effect> {
        let at = self.started.elapsed();
        self.view().update(at, input)
    }

    fn end(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.stop.store(true, Ordering::Release);
        self.ended.notify_one();
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// The live view. It owns the terminal until it is closed.
pub struct Live {
    common: Arc<Common>,
    finished: Receiver<()>,
    drawing: Thread,
    numbers: Box<dyn Fn() -> Numbers>,
    summary: Summary,
    count: Option<u64>,
    /// SIGHUP came.
    hung_up: bool,
}

impl Live {
    /// Takes over the terminal and starts to draw. `numbers` is asked about once a second; lines of the log show below.
    ///
    /// # Errors
    /// Where the terminal can't be set up, or no thread can be started.
    pub fn open(
        summary: Summary,
        count: Option<u64>,
        numbers: Box<dyn Fn() -> Numbers>,
        log: LogLines,
    ) -> io::Result<Self> {
        let screen = Screen::open()?;
        log.hold();
        let common = Arc::new(Common {
            view: Mutex::default(),
            started: Instant::now(),
            stop: AtomicBool::new(false),
            ended: Notify::new(),
            failure: Mutex::default(),
            log,
        });
        let (finish, finished) = sync_channel(1);
        let shown = Arc::clone(&common);
        let draw = thread::Builder::new().name("view".to_owned()).spawn(move || {
            let _told = TellPanic(&shown);
            shown.end(show(screen, &shown));
            let _nobody_waits = finish.send(());
        })?;
        let drawing = draw.thread().clone();
        let live = Self { common: Arc::clone(&common), finished, drawing, numbers, summary, count, hung_up: false };
        let drawing = live.drawing.clone();
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let _told = TellPanic(&common);
            common.end(read_keys(&common, &drawing));
            drawing.unpark();
        })?;
        Ok(live)
    }

    /// Completes once the view has ended: by a key, or because its terminal is gone.
    pub fn quit(&self) -> impl Future<Output = ()> + use<> {
        let common = Arc::clone(&self.common);
        async move { common.ended.notified().await }
    }

    /// Gives the terminal back, and what was seen.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] where the terminal is gone or takes no more bytes; what else ended the view.
    pub fn close(self) -> io::Result<Summary> {
        self.common.stop.store(true, Ordering::Release);
        self.drawing.unpark();
        let stalled = self.finished.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if stalled {
            super::screen::set_back();
        } else {
            self.common.log.release();
        }
        match self.common.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None if stalled => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(self.summary),
        }
    }

    fn has_enough(&self) -> bool {
        self.count.is_some_and(|count| self.summary.failures() >= count)
    }
}

impl Sink for Live {
    fn failure(&mut self, diagnosis: &Diagnosis) {
        if !self.has_enough() {
            self.summary.add(diagnosis);
            self.common.update(Input::Failure(diagnosis));
        }
    }

    fn origin_error(&mut self, error: &OriginError, in_detail: bool) {
        if !self.has_enough() {
            self.summary.add_origin(error);
            self.common.update(Input::OriginError { error, in_detail });
        }
    }

    fn process_end(&mut self, _process: &str, _how: EndHow) {}

    fn oom_kill(&mut self, _process: &str) {}

    /// A program that owns a terminal takes SIGHUP for the end of it.
    fn reopen(&mut self) {
        self.hung_up = true;
    }

    fn alive(&mut self) {
        let numbers = (self.numbers)();
        self.common.update(Input::Numbers(numbers));
    }

    fn is_done(&mut self) -> io::Result<bool> {
        Ok(self.hung_up || self.common.is_over() || self.has_enough())
    }
}

/// Ends the view where its thread panics.
struct TellPanic<'a>(&'a Common);

impl Drop for TellPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(Err(io::Error::other("a thread of it has panicked")));
        }
    }
}

/// Draws what has changed, at most ten times a second, until it is over.
fn show(mut screen: Screen, common: &Common) -> io::Result<()> {
    let mut drawn: Option<Instant> = None;
    while !common.is_over() {
        if let Some(line) = common.log.newest() {
            common.update(Input::Note(line));
        }
        let resized = screen.fit()?;
        common.update(if resized { Input::Resized } else { Input::Tick });
        let left = drawn.map_or(Duration::ZERO, |drawn| FRAME.saturating_sub(drawn.elapsed()));
        if left.is_zero() && common.view().take_changed() {
            drawn = Some(Instant::now());
            screen.draw(|| common.view())?;
        }
        thread::park_timeout(if left.is_zero() { FRAME } else { left });
    }
    Ok(())
}

/// Takes keys until it is over, and carries out what they ask for.
fn read_keys(common: &Common, drawing: &Thread) -> io::Result<()> {
    while !common.is_over() {
        let Some(key) = keys::next(FRAME)? else { continue };
        match common.update(Input::Key(key)) {
            None => {}
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Copy(ray)) => {
                let note = match clipboard::copy(&ray) {
                    Ok(()) => format!("{ray} went to the terminal's clipboard"),
                    Err(error) => format!("copying: {error}"),
                };
                common.update(Input::Note(note));
            }
            Some(Effect::Write { name, text }) => {
                let note = match keep::write(&name, &text) {
                    Ok(name) => format!("written: {name}"),
                    Err(error) => format!("writing {name}: {error}"),
                };
                common.update(Input::Note(note));
            }
        }
        drawing.unpark();
    }
    Ok(())
}
