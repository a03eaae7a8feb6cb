//! The event loop: kernel records → state → verdicts → sinks. Owns the clock and the shutdown.

mod around;
mod attaching;
mod details;
mod finder;
mod look;
mod opener;
mod privacy;
mod privileges;
mod records;
mod shared;
mod sight;
mod signals;
mod waiting;

pub use attaching::attach_if_asked;
pub use shared::Shared;

use std::{collections::BTreeSet, fs::File, io, path::Path, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use details::Details;
use log::{debug, info, warn};
use look::{learn, learn_new};
use opener::{Opener, Tables};
use sight::Sight;
use signals::{Asked, Signals};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use waiting::Waiting;

use crate::{
    config::Settings,
    counts::TlsFile,
    decode::Event,
    diagnose::{
        Diagnosis, EndHow,
        origin::{OriginCause, OriginError},
    },
    edge::EdgeRanges,
    probes::{Conntrack, Depth, Family, HookState, Kernel, Records, Surroundings, Sweep, TlsSources, proc},
    recording::Recorder,
    state::{Facts, Output, State},
};

/// How often /proc is asked about processes that newly own edge connections.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// Files with a probe that the log names as the agent is ready.
const NAMED_FILES: usize = 8;
/// Records handled before anything else gets its turn.
const BATCH: usize = 256;

/// Where verdicts go.
pub trait Sink {
    /// A failure. Must not block.
    fn failure(&mut self, diagnosis: &Diagnosis);
    /// The origin's own answer of 5xx. `in_detail`: it is to be told; else only counted. Must not block.
    fn origin_error(&mut self, error: &OriginError, in_detail: bool);
    /// A process that held edge connections ended.
    fn process_end(&mut self, process: &str, how: EndHow);
    /// The OOM killer took a process.
    fn oom_kill(&mut self, process: &str);
    /// SIGHUP: files are opened anew.
    fn reopen(&mut self);
    /// Called about once a second while the event loop turns.
    fn alive(&mut self);
    /// Whether enough was seen (`watch --count`). An error ends the agent; a broken pipe ends it quietly.
    fn is_done(&mut self) -> io::Result<bool>;
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal, the time or the count.
    Asked,
    /// Nobody reads standard output any more.
    BrokenPipe,
}

/// The agent, attached.
pub struct Agent {
    kernel: Kernel,
    records: Records,
    state: State,
    shared: Arc<Shared>,
    sweep: Sweep,
    kernel_log: Option<proc::KernelLog>,
    surroundings: Surroundings,
    conntrack: Option<Conntrack>,
    family: Family,
    recorder: Option<Recorder<File>>,
    /// Where secrets inside TLS come from.
    tls: TlsSources,
    sight: Option<Sight>,
    opener: Option<Opener>,
    waiting: Waiting,
    details: Details,
    _kernel_debug: Option<tokio::task::JoinHandle<()>>,
}

impl Agent {
    /// Loads, attaches and seeds; then gives up the privileges that only this took, on this thread and those that it
    /// starts later: there must be no other yet. One thread keeps `CAP_NET_ADMIN`, to ask for tracked connections. Must
    /// run inside the event loop's runtime.
    ///
    /// # Errors
    /// [`crate::probes::LoadError`] where this host can't be traced.
    pub fn start(settings: &Settings, ranges: EdgeRanges) -> Result<Self> {
        let sources = TlsSources { probes: settings.tls_sight, keylog: settings.tls_keylog.clone() };
        if sources.any() {
            privacy::keep_memory();
            if !settings.payload {
                warn!("without payload nothing inside TLS can be read: tls-sight and tls-keylog have no effect");
            }
        }
        let mut kernel = Kernel::load(&sources)?;
        kernel.set_ranges(&ranges)?;
        kernel.set_ports(&settings.ports)?;
        let records = kernel.records()?;
        let debug = if log::log_enabled!(log::Level::Debug) { kernel_debug(&mut kernel) } else { None };
        kernel.attach(if settings.payload { Depth::Payload } else { Depth::Connections })?;
        let programs = sources.probes.then(|| kernel.load_tls()).transpose()?;
        let tables = sources.any().then(|| tables(&mut kernel)).transpose()?;
        let seeded = kernel.seed().unwrap_or_else(|error| {
            warn!("connections that are open now stay unknown until they close: {error:#}");
            crate::probes::Seeded::default()
        });
        if seeded.closed_namespaces > 0 {
            info!(
                "connections that are open now stay unknown until they close in {} other network namespaces: entering \
                 them takes CAP_SYS_ADMIN",
                seeded.closed_namespaces
            );
        }
        if seeded.connections > 0 {
            info!("{} edge connections were open already", seeded.connections);
        }
        let mut sweep = kernel.sweep()?;
        sweep.set_limits(settings.limits)?;
        let counters = kernel.counters()?;
        let shared = Shared::new(counters, &ranges);
        let reasons = kernel.layout.rst_reasons.clone();
        let held_before: BTreeSet<u32> = seeded.owners.values().map(|(pid, _)| *pid).collect();
        let mut state = State::new(ranges, reasons, seeded.owners);
        state.set_limits(settings.limits);
        state.set_sees_unix(kernel.sees_unix());
        for pid in held_before {
            learn_new(&mut state, (pid, 0));
        }
        let kernel_log = proc::KernelLog::open();
        let conntrack = Conntrack::start(privileges::keep_net_admin);
        let shared = Arc::new(shared);
        let mut sight = programs.map(|programs| Sight::new(programs, Arc::clone(&shared))).transpose()?;
        privileges::give_up(|| kernel.use_once());
        if let Some(sight) = &mut sight {
            sight.begin(&shared.listeners());
        }
        let open = |tables| Opener::new(tables, sources.keylog.as_deref(), Arc::clone(&shared));
        let opener = tables.map(open).transpose()?;
        Ok(Self {
            records,
            state,
            sweep,
            shared,
            kernel_log,
            surroundings: Surroundings::default(),
            conntrack,
            family: Family::default(),
            recorder: None,
            tls: sources,
            sight,
            opener,
            waiting: Waiting::new(),
            details: Details::default(),
            kernel,
            _kernel_debug: debug,
        })
    }

    /// Writes every record to this file from now on.
    ///
    /// # Errors
    /// Where the file can't be made.
    pub fn record(&mut self, path: &Path) -> io::Result<()> {
        self.recorder = Some(Recorder::new(File::create(path)?)?);
        Ok(())
    }

    /// What a scrape reads.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// `attached …; missing …`: what works here, and what its absence blurs.
    #[must_use]
    pub fn summary(&self) -> String {
        let names = |wanted: fn(&HookState) -> bool| {
            let probes = self.kernel.probes.iter().filter(|probe| wanted(&probe.state));
            probes.map(|probe| probe.hook.name).collect::<Vec<_>>().join(" ")
        };
        let mut text = format!("attached: {}", names(|state| *state == HookState::Attached));
        let off = names(|state| *state == HookState::Off);
        if !off.is_empty() {
            text.push_str(&format!("; off: {off}"));
        }
        for detail in self.kernel.layout.details().iter().filter(|detail| !detail.present) {
            text.push_str(&format!("; without {}: {}", detail.name, detail.instead));
        }
        for probe in &self.kernel.probes {
            if let HookState::Missing(why) = &probe.state {
                text.push_str(&format!("; missing: {} ({}): {why}", probe.hook.name, probe.hook.blurs));
            }
        }
        text
    }

    /// [`Agent::summary`], and where sight inside TLS is on: in which files its probes are.
    #[must_use]
    pub fn ready(&self) -> String {
        let mut text = self.summary();
        if self.sight.is_some() {
            text.push_str(&format!("; inside TLS: {}", probed(&self.shared.tls_files())));
        }
        text
    }

    /// Runs until told to stop, by a signal, by the sink or by `until`. `reload` gives new settings on SIGHUP; on an
    /// error the old ones stay.
    pub async fn run(
        &mut self,
        sink: &mut dyn Sink,
        until: impl Future<Output = ()>,
        reload: &dyn Fn() -> Result<Settings>,
    ) -> Result<Ended> {
        let mut until = pin!(until);
        let mut signals = Signals::new()?;
        let mut look = interval(LOOK_AROUND);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep_at = Instant::now() + self.sweep.pause();
        loop {
            let deadline = self.deadline();
            tokio::select! {
                events = next(&mut self.records, &self.shared) => {
                    let outputs = self.handle(events?);
                    self.give(sink, outputs);
                }
                () = wait(deadline) => {
                    let outputs = self.state.expire(proc::clock().monotonic_ns);
                    self.give(sink, outputs);
                },
                () = wait(self.waiting.next().map(Into::into)) => {
                    let outputs = self.handle_ready();
                    self.give(sink, outputs);
                }
                _ = look.tick() => {
                    self.look_around();
                    self.keep_sight();
                    sink.alive();
                }
                () = sleep_until(sweep_at) => {
                    self.kernel.look(&mut self.sweep, proc::clock().monotonic_ns);
                    sweep_at = Instant::now() + self.sweep.pause();
                }
                answer = found(&mut self.sight) => {
                    if let Some(sight) = &mut self.sight {
                        sight.take(answer);
                    }
                }
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => self.reload(reload, sink),
                },
                () = &mut until => break,
            }
            match sink.is_done() {
                Ok(false) => {}
                Ok(true) => return Ok(Ended::Asked),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::BrokenPipe),
                Err(error) => return Err(error).context("writing a failure"),
            }
        }
        self.finish(sink);
        Ok(Ended::Asked)
    }

    /// Takes what is left in the ring buffer and gives every verdict that still waits.
    fn finish(&mut self, sink: &mut dyn Sink) {
        let mut events = Vec::new();
        let shared = &self.shared;
        self.records.drain(|bytes| events.extend(decode(bytes, shared)));
        let mut outputs = self.handle(events);
        outputs.extend(self.handle_waiting());
        outputs.extend(self.state.flush());
        self.give(sink, outputs);
    }

    fn give(&mut self, sink: &mut dyn Sink, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Failure(diagnosis) => sink.failure(&diagnosis),
                Output::OriginError(error) => {
                    if error.cause == OriginCause::Unexplained {
                        self.shared.count_unexplained(error.response_status);
                    }
                    let in_detail = self.details.allows(error.time);
                    if !in_detail {
                        self.shared.count_untold();
                    }
                    sink.origin_error(&error, in_detail);
                }
                Output::ProcessEnd { process, how } => sink.process_end(&process, how),
                Output::OomKill { process } => sink.oom_kill(&process),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let at = self.state.next_deadline()?;
        let left = at.saturating_sub(proc::clock().monotonic_ns);
        Some(Instant::now() + Duration::from_nanos(left))
    }

    /// Looks at processes that own edge connections, or may come to, while they live: when they die it is too late.
    fn look_around(&mut self) {
        let owners = self.shared.owners();
        let listeners = self.shared.listeners();
        let servers = [owners, listeners].concat();
        for process in self.state.unknown(&servers) {
            if !learn(&mut self.state, process) {
                // Gone: it need not be looked for again.
                self.state.learn(process, Facts::default());
            }
        }
        for pid in self.family.grown(&servers.iter().map(|(pid, _)| *pid).collect()) {
            if let Some((start_ns, facts)) = proc::facts(pid) {
                self.state.expect((pid, start_ns), facts);
            }
        }
    }

    /// Looks after the probes in the libraries of the servers, and after the secrets of connections.
    fn keep_sight(&mut self) {
        if let Some(opener) = &mut self.opener {
            opener.forget(&mut self.kernel, &self.sweep);
        }
        let Some(sight) = &mut self.sight else { return };
        sight.look_at_system();
        sight.look_into(&[self.shared.owners(), self.shared.listeners()].concat());
        sight.keep_up();
    }

    fn reload(&mut self, reload: &dyn Fn() -> Result<Settings>, sink: &mut dyn Sink) {
        let applied = reload().and_then(|settings| {
            if (settings.tls_sight, &settings.tls_keylog) != (self.tls.probes, &self.tls.keylog) {
                warn!("tls-sight and tls-keylog stay as they were at the start: a change takes a restart");
            }
            let ranges = settings.edge_ranges()?;
            self.kernel.set_ranges(&ranges)?;
            self.kernel.set_ports(&settings.ports)?;
            self.sweep.set_limits(settings.limits)?;
            self.state.set_limits(settings.limits);
            self.shared.set_ranges(&ranges);
            self.state.set_ranges(ranges);
            Ok(())
        });
        self.shared.reloaded(applied.is_ok());
        match applied {
            Ok(()) => info!("reloaded"),
            Err(error) => warn!("not reloaded, the old settings stay: {error:#}"),
        }
        sink.reopen();
    }
}

fn tables(kernel: &mut Kernel) -> Result<Tables> {
    Ok(Tables { secrets: kernel.secrets()?, trails: kernel.trails()?, sizes: kernel.error_sizes()? })
}

/// The libraries with a probe, in words.
fn probed(files: &[TlsFile]) -> String {
    let probed: Vec<_> = files.iter().filter(|file| file.refused.is_none()).collect();
    if probed.is_empty() {
        return "no server with a TLS library that can be probed yet".to_owned();
    }
    let named = probed.iter().take(NAMED_FILES);
    let mut names: Vec<_> =
        named.map(|file| format!("{} in {}", file.library.as_deref().unwrap_or("a library"), file.path)).collect();
    if let Some(more) = probed.len().checked_sub(NAMED_FILES).filter(|more| *more > 0) {
        names.push(format!("and {more} more files"));
    }
    names.join(", ")
}

/// Waits for what was found in the libraries of a process; for ever where nobody looks.
async fn found(sight: &mut Option<Sight>) -> finder::Answer {
    if let Some(sight) = sight
        && let Some(answer) = sight.next().await
    {
        return answer;
    }
    std::future::pending().await
}

/// Waits for records.
async fn next(records: &mut Records, shared: &Shared) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    records.next(BATCH, |bytes| events.extend(decode(bytes, shared))).await?;
    Ok(events)
}

fn decode(bytes: &[u8], shared: &Shared) -> Option<Event> {
    match Event::decode(bytes) {
        Ok(event) => Some(event),
        Err(malformed) => {
            shared.count_undecoded();
            debug!("a record of {} bytes could not be read: {malformed:?}", bytes.len());
            None
        }
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Forwards the kernel programs' debug lines to the log.
fn kernel_debug(kernel: &mut Kernel) -> Option<tokio::task::JoinHandle<()>> {
    let mut log = kernel.log().map_err(|error| debug!("no debug lines from the kernel: {error:#}")).ok()?;
    Some(tokio::spawn(async move {
        while let Ok(mut guard) = log.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }))
}
