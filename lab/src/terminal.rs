//! A program on a pseudo-terminal, and what a terminal would show of it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroU16,
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::wait;

/// How long a program may take to show what is awaited.
const LIMIT: Duration = Duration::from_secs(60);

/// What was written to the terminal so far.
struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// The terminal; the program is killed when it goes.
pub struct Terminal {
    master: Option<File>,
    /// Kept open, so that the terminal outlives the program.
    slave: OwnedFd,
    child: Child,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and rows.
    pub fn start(command: &mut Command, columns: NonZeroU16, rows: NonZeroU16) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .context("opening a pseudo-terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, size(columns, rows))?;
        let name = ptsname(&master, Vec::new())?;
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let end = || slave.try_clone();
        command.stdin(end()?).stdout(end()?).stderr(end()?).env("TERM", "xterm-256color");
        let child = command.spawn().context("starting the program")?;
        let master = File::from(master);
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Arc::new(Mutex::new(Seen { parser, bytes: Vec::new() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut output, shown, stopped) = (master.try_clone()?, Arc::clone(&seen), Arc::clone(&stop));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                if !is_readable(&output) {
                    continue;
                }
                // EIO: nobody has the other end open any more.
                let Ok(len @ 1..) = output.read(&mut buffer) else { break };
                let mut seen = shown.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.process(&buffer[..len]);
                seen.bytes.extend(&buffer[..len]);
            }
        });
        Ok(Self { master: Some(master), slave, child, seen, stop, reader: Some(reader) })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they show now, without the blanks at their ends.
    pub fn rows(&self) -> Vec<String> {
        self.seen().parser.screen().contents().lines().map(|row| row.trim_end().to_owned()).collect()
    }

    /// Every byte that was written to it.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen().bytes.clone()
    }

    /// Whether the program has a screen of its own up.
    pub fn is_taken(&self) -> bool {
        self.seen().parser.screen().alternate_screen()
    }

    /// Whether it is as a shell wants it: its first screen, a cursor, lines that are echoed.
    pub fn is_set_back(&self) -> Result<bool> {
        let modes = tcgetattr(&self.slave)?.local_modes;
        let cooked = modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        let seen = self.seen();
        let screen = seen.parser.screen();
        Ok(cooked && !screen.alternate_screen() && !screen.hide_cursor())
    }

    /// Waits until a row holds this text.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        let is_there = || self.rows().iter().any(|row| row.contains(text));
        let shown = wait::until_true(&format!("{text:?} on the terminal"), LIMIT, is_there);
        shown.with_context(|| self.rows().join("\n"))
    }

    /// Types.
    pub fn send(&self, keys: &str) -> Result<()> {
        let mut master = self.master.as_ref().context("a terminal that has hung up")?;
        Ok(master.write_all(keys.as_bytes())?)
    }

    /// Makes the window so large.
    pub fn resize(&self, columns: NonZeroU16, rows: NonZeroU16) -> Result<()> {
        self.seen().parser.screen_mut().set_size(rows, columns);
        Ok(tcsetwinsize(self.slave.as_fd(), size(columns, rows))?)
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Takes no more bytes from the program, as a terminal does that has been stopped.
    pub fn stall(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// Hangs up, as a terminal does whose window is closed; but sends no signal.
    pub fn hang_up(&mut self) {
        self.stall();
        self.master = None;
    }

    /// Waits for the end of the program, and for what it still wrote.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let status = wait::until("the program to end", LIMIT, || Ok(self.child.try_wait()?))?;
        // What it wrote is there by now; the reader takes it at once.
        let mut before = usize::MAX;
        wait::until_true("the last bytes", LIMIT, || {
            let now = self.seen().bytes.len();
            thread::sleep(Duration::from_millis(20));
            std::mem::replace(&mut before, now) == now
        })?;
        Ok(status)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.hang_up();
    }
}

/// Whether there is something to read soon.
fn is_readable(file: &File) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    matches!(poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&time)), Ok(1..))
}

fn size(columns: NonZeroU16, rows: NonZeroU16) -> Winsize {
    Winsize { ws_row: rows.get(), ws_col: columns.get(), ws_xpixel: 0, ws_ypixel: 0 }
}
