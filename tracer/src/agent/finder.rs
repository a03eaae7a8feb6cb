//! Finds TLS libraries, on threads of their own: reading files takes its time.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process,
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, Result};
use log::debug;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel};

use super::privileges;
use crate::probes::tls::{
    libraries::{Identity, Libraries, Library, Look},
    system::System,
};

/// Executables that hold a TLS library and are large. They are looked at after the start, so that the first connections
/// of such a server that starts later are seen.
const LARGE: [&str; 5] = ["node", "nodejs", "envoy", "caddy", "traefik"];
/// Where they usually are.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/sbin"];
/// Paths of servers' executables that are remembered. What is executed from others is looked at as it listens.
const SERVERS: usize = 1_024;

/// What is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// What a server has loaded.
    Server(u32),
    /// What a process executes, if it is what a server was once executed from.
    Executed(u32),
    /// The libraries of the system.
    System,
}

/// One library that was found; or that these were all.
pub(super) struct Answer {
    pub(super) asked: Ask,
    pub(super) library: Option<Library>,
}

/// The way to the threads.
pub(super) struct Finder {
    ask: mpsc::Sender<Ask>,
    answers: UnboundedReceiver<Answer>,
}

impl Finder {
    /// Starts two threads, which keep of the privileges of this one what opening the servers' files takes.
    pub(super) fn start() -> Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (prepare, prepared) = mpsc::channel();
        let (learn, learned) = mpsc::channel();
        let (answer, answers) = unbounded_channel();
        start_thread("tls-libraries", move || {
            privileges::keep_for_files();
            Looks::new(prepare).run(&asked, &learned, &answer);
        })?;
        start_thread("tls-executables", move || {
            privileges::keep_usual();
            prepare_all(&prepared, &learn);
        })?;
        Ok(Self { ask, answers })
    }

    pub(super) fn ask(&self, ask: Ask) {
        // It only fails where the thread has ended, which the end of the agent does.
        let _ended = self.ask.send(ask);
    }

    /// An answer, if there is one.
    pub(super) fn try_next(&mut self) -> Result<Answer, TryRecvError> {
        self.answers.try_recv()
    }

    /// Waits for an answer.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }
}

/// What the first of the threads knows.
struct Looks {
    libraries: Libraries,
    system: System,
    /// From where executables with a TLS library in them are executed as servers.
    servers: BTreeSet<PathBuf>,
    prepare: mpsc::Sender<u32>,
}

impl Looks {
    fn new(prepare: mpsc::Sender<u32>) -> Self {
        let servers = usual().map(|path| fs::canonicalize(&path).unwrap_or(path)).collect();
        Self { libraries: Libraries::default(), system: System::default(), servers, prepare }
    }

    /// Answers until nobody listens any more.
    fn run(
        &mut self,
        asked: &mpsc::Receiver<Ask>,
        learned: &mpsc::Receiver<(Identity, Look)>,
        answers: &UnboundedSender<Answer>,
    ) {
        while let Ok(asked) = asked.recv() {
            learned.try_iter().for_each(|(identity, look)| self.libraries.learn(identity, look));
            let mut listens = true;
            let mut answer = |library| listens &= answers.send(Answer { asked, library }).is_ok();
            self.look(asked, |library| answer(Some(library)));
            answer(None);
            if !listens {
                return;
            }
        }
    }

    fn look(&mut self, asked: Ask, mut found: impl FnMut(Library)) {
        match asked {
            Ask::System => {
                for (path, file, identity) in self.system.files() {
                    found(self.libraries.at(path, file, identity));
                }
            }
            // The agent serves metrics, and looks for the labels of key logs, which are in it for that.
            Ask::Server(pid) if pid == process::id() => {}
            Ask::Server(pid) => {
                let executable = executable(pid);
                let mut is_inside = false;
                let named = executable.as_ref().map(|path| path.to_string_lossy().escape_debug().to_string());
                self.look_into(pid, |library| {
                    is_inside |= library.look.site.is_ok() && Some(&library.path) == named.as_ref();
                    found(library);
                });
                if is_inside && self.servers.len() < SERVERS {
                    self.servers.extend(executable);
                }
            }
            Ask::Executed(pid) => {
                if executable(pid).is_some_and(|path| self.servers.contains(&path)) {
                    self.look_into(pid, found);
                } else {
                    let _ended = self.prepare.send(pid);
                }
            }
        }
    }

    fn look_into(&mut self, pid: u32, found: impl FnMut(Library)) {
        if let Err(error) = self.libraries.of(pid, found) {
            debug!("the libraries of process {pid}: {error}");
        }
    }
}

/// What a process executes.
fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn usual() -> impl Iterator<Item = PathBuf> {
    FOLDERS.iter().flat_map(|folder| LARGE.map(|name| Path::new(folder).join(name)))
}

/// Looks at large executables ahead of time: at the usual ones, then at those that are executed.
fn prepare_all(executed: &mpsc::Receiver<u32>, learned: &mpsc::Sender<(Identity, Look)>) {
    let mut libraries = Libraries::default();
    let executed = executed.iter().map(|pid| PathBuf::from(format!("/proc/{pid}/exe")));
    for executable in usual().chain(executed) {
        if let Some(look) = libraries.prepare(&executable)
            && learned.send(look).is_err()
        {
            return;
        }
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context("starting a thread")?;
    Ok(())
}
