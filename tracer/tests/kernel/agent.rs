//! The agent under test: `tracer run` as a child process, asked over HTTP and read from its events file.
//!
//! Its start is by far the most expensive part of a case, above all in an emulated machine, whose verifier is slow:
//! cases that follow each other with the same options share one.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lab::unit;
use lab::{Namespace, procs, wait};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::http;
use crate::metrics::Metrics;

/// The binary under test, where it was built.
const TRACER: &str = env!("CARGO_BIN_EXE_tracer");
/// Names the binary under test where these tests run elsewhere than they were built.
const ELSEWHERE: &str = "TRACER_UNDER_TEST";
/// Loading and attaching may take so long: a debug build on a busy machine, or a verifier under emulation.
const READY: Duration = Duration::from_secs(40);
/// The contract's limit for the way out.
const END: Duration = Duration::from_secs(2);
/// Longer than the agent holds a verdict back.
const HELD: Duration = Duration::from_millis(750);

/// The agent that the case before was content with.
static IDLE: Mutex<Option<Running>> = Mutex::new(None);

/// The agent as one case sees it: what it told and counted before is left out.
pub(crate) struct Agent {
    running: Running,
    /// Whether the case after may have it.
    shared: bool,
    told_before: usize,
    counted_before: Metrics,
}

impl Agent {
    /// An agent with these arguments: that of the case before, if it had the same, or a new one.
    pub(crate) fn start(more: &[&str]) -> Result<Self> {
        let idle = IDLE.lock().ok().and_then(|mut idle| idle.take_if(|idle| idle.options == more));
        let Some(running) = idle else { return Ok(Self::of(Running::start_alone(&[], None, None, more)?, true)) };
        // What the end of the case before made it hold back is not of this one.
        std::thread::sleep(HELD);
        let (told_before, counted_before) = (running.events()?.len(), running.metrics()?);
        Ok(Self { told_before, counted_before, ..Self::of(running, true) })
    }

    /// A new agent, which no other case has.
    pub(crate) fn fresh(more: &[&str]) -> Result<Self> {
        Ok(Self::of(Running::start_alone(&[], None, None, more)?, false))
    }

    /// The same with its events in this file.
    pub(crate) fn start_writing(events: &Path, more: &[&str]) -> Result<Self> {
        Ok(Self::of(Running::start_alone(&[], None, Some(events), more)?, false))
    }

    /// The same by way of another program that becomes it.
    pub(crate) fn start_by(program: &[&str], more: &[&str]) -> Result<Self> {
        Ok(Self::of(Running::start_alone(program, None, None, more)?, false))
    }

    /// The same with the systemd unit's user and privileges.
    pub(crate) fn start_as_unit(more: &[&str]) -> Result<Self> {
        Self::start_as_unit_by(&[], more)
    }

    /// The same in this network namespace.
    pub(crate) fn start_as_unit_inside(namespace: &Namespace, more: &[&str]) -> Result<Self> {
        Self::start_as_unit_by(&enter(namespace), more)
    }

    fn start_as_unit_by(program: &[String], more: &[&str]) -> Result<Self> {
        unit::lift_memory_limit()?;
        let prefix = unit::prefix()?;
        let program: Vec<_> = program.iter().chain(&prefix).map(String::as_str).collect();
        Ok(Self::of(Running::start_alone(&program, Some(unit::USER), None, more)?, false))
    }

    /// The same in this network namespace, as on a host of its own.
    pub(crate) fn start_inside(namespace: &Namespace, more: &[&str]) -> Result<Self> {
        let program = enter(namespace);
        Self::start_by(&program.each_ref().map(String::as_str), more)
    }

    fn of(running: Running, shared: bool) -> Self {
        Self { running, shared, told_before: 0, counted_before: Metrics::default() }
    }

    /// Ends the case's use of it: nothing is held back any more, and all that it told is there.
    pub(crate) fn close(&mut self) -> Result<()> {
        if !self.shared {
            return self.running.stop();
        }
        std::thread::sleep(HELD);
        Ok(())
    }

    /// Leaves it to the next case.
    pub(crate) fn leave(self) {
        if let (true, Ok(mut idle)) = (self.shared, IDLE.lock()) {
            *idle = Some(self.running);
        }
    }

    /// The records of this case so far.
    pub(crate) fn events(&self) -> Result<Vec<Value>> {
        Ok(self.running.events()?.split_off(self.told_before))
    }

    /// What it counted in this case.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        Ok(self.running.metrics()?.since(&self.counted_before))
    }
}

impl Deref for Agent {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// Ends the agent that no case has any more; it must end well.
pub(crate) fn retire() -> Result<()> {
    let idle = IDLE.lock().ok().and_then(|mut idle| idle.take());
    idle.map_or(Ok(()), |mut running| running.stop())
}

/// A running agent with a folder of its own; killed when it goes out of scope.
pub(crate) struct Running {
    options: Vec<String>,
    child: Child,
    listen: SocketAddr,
    dir: PathBuf,
    events: PathBuf,
}

impl Running {
    /// Starts `tracer run` when no other is left, and waits until it is ready: by way of another program that becomes
    /// it, as another user, with its events elsewhere than in its folder, where that is wanted; with more arguments.
    fn start_alone(program: &[&str], user: Option<u32>, events: Option<&Path>, more: &[&str]) -> Result<Self> {
        retire().context("ending the agent of the cases before")?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tracer-kernel-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir)?;
        chown(&dir, user, user)?;
        let listen = free_address()?;
        let log = File::create(dir.join("log"))?;
        let events = events.map_or_else(|| dir.join("events"), PathBuf::from);
        let child = run_by(program, listen)
            .arg("--events")
            .arg(&events)
            .args(more)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", tracer().display()))?;
        let options = more.iter().map(|&option| option.to_owned()).collect();
        let mut agent = Self { options, child, listen, dir, events };
        let ready = agent.wait_ready();
        ready.with_context(|| format!("starting the agent: {}", agent.log()))?;
        Ok(agent)
    }

    fn wait_ready(&mut self) -> Result<()> {
        wait::until("/-/ready to say 200", READY, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended ({status})");
            }
            Ok(self.http("/-/ready").is_ok_and(|(status, _)| status == 200).then_some(()))
        })
    }

    /// Where it listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it writes its records.
    pub(crate) fn events_file(&self) -> &Path {
        &self.events
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        procs::signal(self.child.id(), signal);
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its own folder; the events are in the file `events`.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn events(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        // The last line may still be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("a record that is not JSON: {line}")))
            .collect()
    }

    fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.http("/metrics")?;
        ensure!(status == 200, "/metrics says {status}");
        Metrics::parse(&body)
    }

    /// GET in the agent's network namespace: the status and the body.
    pub(crate) fn http(&self, path: &str) -> Result<(u16, String)> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.child.id()))?;
        if namespace.metadata()?.ino() == fs::metadata("/proc/self/ns/net")?.ino() {
            return http::get(self.listen, path);
        }
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                http::get(self.listen, path)
            });
            inside.join().map_err(|_| anyhow!("asking the agent panicked"))?
        })
    }

    /// Sends SIGTERM and waits for the end, which must come within the contract's limit and with status 0.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let start = Instant::now();
        let status = self.end(Signal::TERM)?;
        ensure!(status.success(), "SIGTERM ended the agent with {status}: {}", self.log());
        ensure!(start.elapsed() <= END, "the agent took {:?} to end", start.elapsed());
        Ok(())
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal);
        wait::until("the agent to end", END * 2, || Ok(self.child.try_wait()?)).with_context(|| self.log())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What to put before a command line to run it in this network namespace.
fn enter(namespace: &Namespace) -> [String; 2] {
    ["nsenter".to_owned(), format!("--net=/run/netns/{}", namespace.name())]
}

/// The binary under test.
pub(crate) fn tracer() -> PathBuf {
    std::env::var_os(ELSEWHERE).map_or_else(|| TRACER.into(), PathBuf::from)
}

/// `tracer` with nothing of the caller's environment that could configure it.
pub(crate) fn command() -> Command {
    command_by(&[])
}

/// The same by way of another program that becomes it.
fn command_by(program: &[&str]) -> Command {
    let mut command = match program {
        [] => Command::new(tracer()),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(tracer());
            command
        }
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRACER_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

/// `tracer run --listen …`.
pub(crate) fn run_command(listen: SocketAddr) -> Command {
    run_by(&[], listen)
}

/// The same by way of another program that becomes it.
pub(crate) fn run_by(program: &[&str], listen: SocketAddr) -> Command {
    let mut command = command_by(program);
    command.args(["run", "--listen", &listen.to_string()]);
    command
}

/// A loopback address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
