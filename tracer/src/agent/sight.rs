//! Sight inside TLS: finds the libraries of the servers, and has probes put into them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use log::{debug, info, warn};
use tokio::sync::mpsc::error::TryRecvError;
use tracer_common::ListenRecord;

use super::{
    Shared,
    finder::{Answer, Ask, Finder},
};
use crate::{
    counts::TlsFile,
    probes::tls::{
        attach::Programs,
        attacher::Probe,
        libraries::{Identity, Library},
    },
};

/// How often the libraries of processes that were looked at are looked at again: one may be loaded late, or replaced.
const AGAIN: Duration = Duration::from_secs(60);
/// A probe goes once no server has had its file for so many rounds of that.
const ROUNDS: u32 = 2;
/// More hits than this in a second are a burden: the probes go for a while.
const MOST_HITS: u64 = 20_000;
/// For how long they go.
const PAUSE: Duration = Duration::from_secs(60);

/// How long the start waits for what the libraries of the servers are.
const AT_START: Duration = Duration::from_secs(5);

/// What is known of the servers' libraries, and what was put into them.
pub(super) struct Sight {
    programs: Programs,
    finder: Finder,
    files: HashMap<Identity, Probed>,
    /// Processes that were looked at, and in which round.
    looked: BTreeMap<(u32, u64), u32>,
    round: u32,
    round_began: Instant,
    /// The system's libraries are being looked at.
    awaits_system: bool,
    hits: (Instant, u64),
    paused_until: Option<Instant>,
    /// The process that attaches is gone.
    is_lost: bool,
    shared: Arc<Shared>,
}

/// A file of which the kernel was asked to probe a place.
struct Probed {
    library: Library,
    /// None: it is not probed now.
    probes: Vec<Probe>,
    /// Why the kernel did not take the last one.
    error: Option<String>,
    round: u32,
}

impl Sight {
    /// Starts the threads that find libraries; they keep some of the privileges of this one.
    pub(super) fn new(programs: Programs, shared: Arc<Shared>) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            programs,
            finder: Finder::start()?,
            files: HashMap::new(),
            looked: BTreeMap::new(),
            round: 0,
            round_began: now,
            awaits_system: false,
            hits: (now, 0),
            paused_until: None,
            is_lost: false,
            shared,
        })
    }

    /// Puts probes into the system's libraries, and into what these servers have loaded, before anything else happens:
    /// connections that are accepted from now on come with their secrets.
    pub(super) fn begin(&mut self, servers: &[(u32, u64)]) {
        self.look_at_system();
        self.look_into(servers);
        let until = Instant::now() + AT_START;
        let mut awaited = 1 + servers.iter().collect::<BTreeSet<_>>().len();
        while awaited > 0 && Instant::now() < until {
            match self.finder.try_next() {
                Ok(answer) => {
                    awaited -= usize::from(answer.library.is_none());
                    self.take(answer);
                }
                Err(TryRecvError::Empty) => thread::sleep(Duration::from_millis(1)),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Waits for what was found.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.finder.next().await
    }

    /// Has the system's libraries looked at: an upgrade replaces them.
    pub(super) fn look_at_system(&mut self) {
        if !std::mem::replace(&mut self.awaits_system, true) {
            self.finder.ask(Ask::System);
        }
    }

    /// Has the libraries of these processes looked at, unless they were lately.
    pub(super) fn look_into(&mut self, servers: &[(u32, u64)]) {
        if self.round_began.elapsed() >= AGAIN {
            self.round += 1;
            self.round_began = Instant::now();
            self.looked.retain(|server, _| servers.contains(server));
        }
        for server in servers {
            if self.looked.insert(*server, self.round) != Some(self.round) {
                self.finder.ask(Ask::Server(server.0));
            }
        }
    }

    /// A process begins to listen, or executes a program.
    pub(super) fn begins(&self, record: &ListenRecord) {
        debug!("process {} begins, port {}", record.tgid, record.port);
        self.finder.ask(if record.port == 0 { Ask::Executed(record.tgid) } else { Ask::Server(record.tgid) });
    }

    /// Puts probes into what was found.
    pub(super) fn take(&mut self, answer: Answer) {
        let Some(library) = answer.library else {
            self.awaits_system &= answer.asked != Ask::System;
            return;
        };
        let Some((_, identity)) = library.file else {
            return debug!("{:?}: {}: {:?}", answer.asked, library.path, library.look.site.err());
        };
        let round = self.round;
        if let Some(known) = self.files.get_mut(&identity) {
            known.round = round;
            return;
        }
        match &library.look.site {
            Err(why) if why.is_no_library() => debug!("no sight inside TLS of {}: {why}", library.path),
            Err(why) => warn!("no sight inside TLS of {}: {why}", library.path),
            Ok(_) => {}
        }
        let mut probed = Probed { library, probes: Vec::new(), error: None, round };
        if self.paused_until.is_none() && !self.is_lost {
            probed.attach(&self.programs);
        }
        self.files.insert(identity, probed);
        self.tell();
    }

    /// Takes probes away that nobody needs, or that are hit too often; about once a second.
    pub(super) fn keep_up(&mut self) {
        if !self.programs.are_held() {
            return self.lose();
        }
        let (now, hits) = (Instant::now(), self.shared.tls_hits());
        let (then, before) = std::mem::replace(&mut self.hits, (now, hits));
        let seconds = now.duration_since(then).as_secs_f64().max(0.1);
        let too_many = hits.saturating_sub(before) as f64 / seconds > MOST_HITS as f64;
        if too_many && self.paused_until.is_none() {
            warn!(
                "sight inside TLS pauses for {} s: more than {MOST_HITS} hits a second, many new connections in \
                 processes that share a library with the servers",
                PAUSE.as_secs()
            );
            self.paused_until = Some(now + PAUSE);
            self.files.values_mut().for_each(|file| file.detach(&self.programs));
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            info!("sight inside TLS goes on");
            self.paused_until = None;
            self.files.values_mut().for_each(|file| file.attach(&self.programs));
        }
        let round = self.round;
        self.files.retain(|_, file| {
            let stays = round - file.round.min(round) <= ROUNDS;
            if !stays {
                file.detach(&self.programs);
            }
            stays
        });
        self.tell();
    }

    /// The process that attaches is gone, and every probe with it. To start another one takes privileges that the agent
    /// has given up.
    fn lose(&mut self) {
        if !std::mem::replace(&mut self.is_lost, true) {
            warn!(
                "sight inside TLS has ended: the process that attaches its probes is gone; restart tracer to have it"
            );
        }
        self.files.values_mut().for_each(|file| file.probes = Vec::new());
        self.tell();
    }

    /// Puts what a scrape and `doctor` read in place.
    fn tell(&self) {
        let mut files: Vec<_> = self.files.values().filter_map(Probed::shown).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        self.shared.tell_tls(|seen| (seen.paused, seen.files) = (self.paused_until.is_some(), files));
    }
}

impl Probed {
    fn attach(&mut self, programs: &Programs) {
        let (Some((file, _)), Ok(site)) = (&self.library.file, &self.library.look.site) else { return };
        match programs.attach(file, site) {
            Ok(probes) => {
                info!("sight inside TLS: {} in {}", site.title(), self.library.path);
                (self.probes, self.error) = (probes, None);
            }
            Err(error) => {
                warn!("no sight inside TLS of {}: {error:#}", self.library.path);
                self.error = Some(format!("{error:#}"));
            }
        }
    }

    /// The file as an operator sees it; `None`: it holds no TLS library.
    fn shown(&self) -> Option<TlsFile> {
        let (library, refused) = match &self.library.look.site {
            Err(why) if why.is_no_library() => return None,
            Err(why) => (None, Some(why.to_string())),
            Ok(site) if !self.probes.is_empty() => (Some(site.title()), None),
            Ok(site) => {
                let why = self.error.clone().unwrap_or_else(|| "hit too often: the probes pause for a minute".into());
                (Some(site.title()), Some(why))
            }
        };
        Some(TlsFile { path: self.library.path.clone(), library, refused })
    }

    fn detach(&mut self, programs: &Programs) {
        for probe in std::mem::take(&mut self.probes) {
            if let Err(error) = programs.detach(probe) {
                warn!("taking the probe out of {}: {error:#}", self.library.path);
            }
        }
    }
}
