//! Follows a TLS key log, a file or FIFO, on a thread of its own, which may wait for a file system.
//!
//! What is there already is read, too. A file that is cut is read anew, and so is another one that takes its place. The
//! thread looks every few milliseconds, and not when the kernel says that the file has grown: of files on a network, or
//! written through an overlay, it says nothing.

use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use log::{info, warn};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
};
use zeroize::Zeroizing;

use crate::tls::{KeyLog, Session};

/// How long the thread sleeps once it has read all there is.
const PAUSE: Duration = Duration::from_millis(50);
/// The same, as `poll` takes it.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long it sleeps where there is more: a writer that never ends must not take a whole CPU.
const BREATH: Duration = Duration::from_millis(10);
/// Bytes that it reads at once, with the table of secrets locked while they are taken in.
const CHUNK: usize = 16 << 10;
/// Chunks that it reads before it sleeps.
const CHUNKS: usize = 64;
/// Bytes of a file that are read at most of what it has when it is opened: its last ones.
const MOST: u64 = 16 << 20;
/// Others may read it, or write to it.
const OTHERS: u32 = 0o006;

/// The secrets in a key log, as far as it has been read.
pub struct Reader {
    log: Arc<Mutex<KeyLog>>,
    ask: SyncSender<()>,
}

impl Reader {
    /// Starts to follow the key log at this path, which need not be there yet.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(path: &Path) -> Result<Self> {
        let log = Arc::new(Mutex::new(KeyLog::default()));
        let (ask, asked) = sync_channel(1);
        let mut follower = Follower { path: path.to_owned(), source: None, told: None, log: Arc::clone(&log) };
        thread::Builder::new()
            .name("tls-keylog".to_owned())
            .spawn(move || follower.run(&asked))
            .context("starting a thread")?;
        Ok(Self { log, ask })
    }

    /// The secrets of a session that has this one's client random.
    #[must_use]
    pub fn secrets_of(&self, session: &Session) -> Option<Session> {
        lock(&self.log).secrets_of(session)
    }

    /// Whether what opens both directions of a session has been read.
    #[must_use]
    pub fn opens(&self, session: &Session) -> bool {
        lock(&self.log).opens(session)
    }

    /// Has it read at once.
    pub fn hurry(&self) {
        // Where it is full the thread is about to look; without a thread the agent is at its end.
        let _is_asked = self.ask.try_send(());
    }
}

struct Follower {
    path: PathBuf,
    source: Option<Source>,
    /// What was last said of why there is none.
    told: Option<String>,
    log: Arc<Mutex<KeyLog>>,
}

/// The key log, open.
struct Source {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    is_fifo: bool,
    /// Where the next bytes of a file are.
    at: u64,
}

/// What to wait for.
enum Next {
    /// More that is there already.
    More,
    /// Bytes in a FIFO that a process has open.
    Written,
    /// Anything.
    News,
}

impl Follower {
    fn run(&mut self, asked: &Receiver<()>) {
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        loop {
            let next = self.turn(&mut chunk);
            let pause = match next {
                Next::More => BREATH,
                Next::Written => {
                    self.wait();
                    Duration::ZERO
                }
                Next::News => PAUSE,
            };
            let is_over = if pause.is_zero() {
                asked.try_recv() == Err(TryRecvError::Disconnected)
            } else {
                asked.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
            };
            if is_over {
                return;
            }
        }
    }

    /// Reads what is there, at most as much as one turn may.
    fn turn(&mut self, chunk: &mut [u8]) -> Next {
        if self.source.is_none() {
            self.open();
        }
        for _ in 0..CHUNKS {
            let Some(source) = &mut self.source else { return Next::News };
            match source.file.read(chunk) {
                Ok(0) if source.is_fifo => {
                    // Its last writer has left; a line that it left open is never finished.
                    lock(&self.log).cut();
                    if !self.is_replaced() {
                        return Next::News;
                    }
                    self.open();
                }
                Ok(0) => match source.is_cut() {
                    Ok(true) => {
                        lock(&self.log).cut();
                        if let Err(error) = source.rewind() {
                            self.lose(&error);
                        }
                    }
                    Ok(false) if self.is_replaced() => self.open(),
                    Ok(false) => return Next::News,
                    Err(error) => self.lose(&error),
                },
                Ok(count) => {
                    source.at += count as u64;
                    lock(&self.log).read(&chunk[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lose(&error),
            }
        }
        Next::More
    }

    /// Waits until something is written to the FIFO, or a pause has passed.
    fn wait(&self) {
        let Some(source) = &self.source else { return };
        // A signal ends it early.
        let _early = poll(&mut [PollFd::from_borrowed_fd(source.file.as_fd(), PollFlags::IN)], Some(&POLL));
    }

    /// Opens what is at the path now. Where that fails, what was open before stays.
    fn open(&mut self) {
        match Source::open(&self.path) {
            Ok((source, metadata)) => {
                let path = self.path.display();
                lock(&self.log).cut();
                info!("secrets inside TLS are read from the key log {path}");
                if metadata.mode() & OTHERS != 0 {
                    warn!(
                        "every user of this host can read the key log {path}, or write to it, and with it decrypt what \
                         it has the secrets of: `chmod o-rw {path}`"
                    );
                }
                self.source = Some(source);
                self.told = None;
            }
            Err(error) => self.tell(&error),
        }
    }

    /// The key log can't be read any more.
    fn lose(&mut self, error: &io::Error) {
        self.source = None;
        self.tell(error);
    }

    /// Says why there is no key log, once for each reason.
    fn tell(&mut self, error: &io::Error) {
        let mend = match error.kind() {
            ErrorKind::NotFound => "it is read once the server writes it there",
            ErrorKind::PermissionDenied => "let the user that tracer runs as read it, by the file's group for example",
            ErrorKind::InvalidInput => "name the file or FIFO that the server writes its key log to",
            _ => "it is tried again and again",
        };
        let text = format!("no secrets from the key log {}: {error}: {mend}", self.path.display());
        if self.told.as_ref() != Some(&text) {
            warn!("{text}");
            self.told = Some(text);
        }
    }

    /// Whether another file is at the path by now.
    fn is_replaced(&self) -> bool {
        let there = std::fs::metadata(&self.path).ok();
        there.is_some_and(|there| self.source.as_ref().is_none_or(|source| source.identity != identity(&there)))
    }
}

impl Source {
    fn open(path: &Path) -> io::Result<(Self, Metadata)> {
        // To open a device can do something, so it is looked at before.
        let found = File::from(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
        let metadata = found.metadata()?;
        let is_fifo = metadata.file_type().is_fifo();
        if !is_fifo && !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "neither a file nor a FIFO"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = File::from(open(format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty())?);
        let at = if is_fifo { 0 } else { file.seek(SeekFrom::Start(metadata.len().saturating_sub(MOST)))? };
        Ok((Self { file, identity: identity(&metadata), is_fifo, at }, metadata))
    }

    /// Whether the file ends before what was read of it.
    fn is_cut(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < self.at)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = self.file.seek(SeekFrom::Start(0))?;
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn lock(log: &Mutex<KeyLog>) -> MutexGuard<'_, KeyLog> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
