//! The terminal while a view owns it: raw, on its other screen; set back however the view ends.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _},
    ops::Deref,
    os::fd::AsFd as _,
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use anstream::{AutoStream, ColorChoice};
use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::Rect,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::tcgetwinsize,
};

use crate::view::{View, draw};

/// Time for a terminal to take bytes again before it is left as it is, in nanoseconds.
const PATIENCE_NS: i64 = 300_000_000;

/// A view owns the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether there is a terminal that a view can use: for keys, and for what it shows.
pub(super) fn is_there() -> bool {
    let is_smart = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    is_smart && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether standard error would write into the view.
pub(super) fn shows_errors() -> bool {
    io::stderr().is_terminal()
}

/// The terminal, until it is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<File>>>,
    size: Rect,
    colour: bool,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        let size = size()?;
        let colour = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let mut out = BufWriter::with_capacity(1 << 16, stdout()?);
        set_back_on_panic();
        TAKEN.store(true, Ordering::Release);
        let ready = enable_raw_mode().and_then(|()| execute!(out, EnterAlternateScreen, Hide));
        let options = TerminalOptions { viewport: Viewport::Fixed(size) };
        let terminal = ready.and_then(|()| Terminal::with_options(CrosstermBackend::new(out), options));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, size, colour }),
            Err(error) => {
                set_back();
                Err(gone(error))
            }
        }
    }

    /// Takes note of another size of the window; tells whether there is one.
    pub(super) fn fit(&mut self) -> io::Result<bool> {
        let size = size()?;
        let changed = size != self.size;
        if changed {
            self.size = size;
            self.terminal.resize(size).map_err(gone)?;
        }
        Ok(changed)
    }

    /// Draws the view, which is asked for as late as possible, and released before the terminal is written to.
    pub(super) fn draw<V: Deref<Target = View>>(&mut self, view: impl FnOnce() -> V) -> io::Result<()> {
        if !TAKEN.load(Ordering::Acquire) {
            return Err(io::Error::other("another thread has panicked"));
        }
        let colour = self.colour;
        self.terminal.draw(|frame| draw(&view(), frame, colour)).map(drop).map_err(gone)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        set_back();
    }
}

/// Sets the terminal back, once.
pub(super) fn set_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // A terminal that is gone needs no setting back; one that takes no bytes must not hold the way out up.
        let _ = disable_raw_mode();
        let _ = stdout().and_then(|mut out| match takes_bytes(&out) {
            true => execute!(out, LeaveAlternateScreen, Show),
            false => Err(io::ErrorKind::TimedOut.into()),
        });
    }
}

/// Whether the terminal takes bytes, or soon does.
fn takes_bytes(out: &File) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: PATIENCE_NS };
    let mut fds = [PollFd::new(out, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&time)), Ok(1..)) && fds[0].revents().contains(PollFlags::OUT)
}

/// What a panic says can be read, and the terminal used, whichever thread it is in.
fn set_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            set_back();
            before(panic);
        }));
    });
}

fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn size() -> io::Result<Rect> {
    let size = tcgetwinsize(io::stdout()).map_err(|errno| gone(errno.into()))?;
    Ok(Rect::new(0, 0, size.ws_col, size.ws_row))
}

/// A terminal that has hung up is a reader that has left.
pub(super) fn gone(error: io::Error) -> io::Error {
    let is_gone =
        error.raw_os_error().is_some_and(|code| [Errno::IO, Errno::NXIO].map(Errno::raw_os_error).contains(&code));
    if is_gone { io::ErrorKind::BrokenPipe.into() } else { error }
}
