//! Sight inside TLS: what the agent must not keep, who may attach, and what it leaves in the servers.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lab::{EDGE_B, Lab, Nginx, NginxOptions, procs, wait};
use rustix::process::Signal;
use serde_json::Value;
use tokio_rustls::rustls::SupportedProtocolVersion as Version;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::session::Session;
use super::tls::Certificate;
use super::unit::{self, BPF, DAC_OVERRIDE, SYS_PTRACE};
use super::{LIMIT, is_older_than};
use crate::agent::{self, Agent};
use crate::runner::{Case, cases};
use crate::rustls_origin;
use crate::scan;

pub(super) fn cases() -> Vec<Case> {
    cases![
        no_secret_and_nothing_that_was_said_stays_in_the_agent,
        no_key_of_rustls_and_nothing_that_was_said_stays_in_the_agent,
        a_recording_holds_no_ciphertext,
        with_sight_only_the_process_that_attaches_can,
        with_sight_and_the_units_privileges_nobody_may_look_into_the_agent,
        no_probe_stays_in_a_server_however_the_agent_ends,
    ]
}

const PERFMON: u64 = 1 << 38;
const CHECKPOINT_RESTORE: u64 = 1 << 40;
const SIGHT: &str = "--tls-sight";
const PORT: u16 = 443;
/// Said inside TLS, and never to be told.
const COOKIE: &str = "cookie-d3b07384d113edec";
const QUERY: &str = "query-49a5a7a1f2c0b6e8";
/// A path without an answer.
const FAILS: &str = "/nothing";

/// A server that answers `/` and hangs up on [`FAILS`].
fn server(lab: &Lab) -> Result<(Nginx, Certificate)> {
    let certificate = Certificate::make(lab)?;
    let http = format!(
        "server {{ listen {PORT} ssl; ssl_protocols TLSv1.2 TLSv1.3; location {FAILS} {{ return 444; }} {} }}\n",
        certificate.site()
    );
    let options = NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() };
    Ok((Nginx::start(lab, &options)?, certificate))
}

/// A request inside TLS that nobody answers.
fn fail(lab: &Lab, certificate: &Certificate, version: &'static Version) -> Result<Session> {
    let mut session = Session::open(lab.connect(EDGE_B, PORT)?, version, certificate)?;
    let answer = session.ask(&format!("{FAILS}?{QUERY}"), &format!("Cookie: session={COOKIE}\r\n"))?;
    ensure!(answer.is_empty(), "the origin answered");
    Ok(session)
}

/// A failure inside TLS, and what was told of it. One that is not told is staged again: these cases look for what is
/// left of one that is.
fn fail_and_tell(
    lab: &Lab,
    certificate: &Certificate,
    version: &'static Version,
    agent: &Agent,
) -> Result<(Session, Value)> {
    for _ in 0..5 {
        let session = fail(lab, certificate, version)?;
        let told = wait::until("the failure with its ray", LIMIT / 2, || {
            Ok(agent.events()?.into_iter().find(|event| event["ray"] == session.ray()))
        });
        match told {
            Ok(told) => return Ok((session, told)),
            Err(_) => println!("not told: a failure inside {:?}", version.version),
        }
    }
    bail!("no failure is told with its ray: {}", agent.log())
}

fn no_secret_and_nothing_that_was_said_stays_in_the_agent() -> Result<()> {
    let lab = Lab::new()?;
    let (_nginx, certificate) = server(&lab)?;
    nothing_stays(&lab, &certificate)
}

fn no_key_of_rustls_and_nothing_that_was_said_stays_in_the_agent() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let _origin = rustls_origin::start(&lab, PORT, &certificate.certificate, &certificate.key)?;
    nothing_stays(&lab, &certificate)
}

fn nothing_stays(lab: &Lab, certificate: &Certificate) -> Result<()> {
    let mut agent = Agent::fresh(&[SIGHT, "--log-level=trace"])?;
    for version in [&TLS13, &TLS12] {
        let (session, told) = fail_and_tell(lab, certificate, version, &agent)?;
        ensure!(told["cause"] == "empty_reply" && told["path"] == FAILS, "{told}");
        let secrets = session.secrets();
        ensure!(!secrets.is_empty(), "the client logged no secret");
        // That the page shows the ray proves that the look finds what is there.
        ensure!(!scan::find(agent.pid(), session.ray().as_bytes())?.is_empty(), "the scan finds nothing");
        let mut needles: Vec<_> = secrets.into_iter().map(|secret| ("a secret", secret)).collect();
        needles.extend([("the cookie", COOKIE.into()), ("the query", QUERY.into())]);
        let outputs = outputs(&agent)?;
        for (what, needle) in &needles {
            for process in [agent.pid(), attaching(&agent)?] {
                let found = scan::find(process, needle)?;
                ensure!(found.is_empty(), "{what} of {version:?} stands in process {process}: {}", found.join(", "));
            }
            let hex: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
            for (place, bytes) in &outputs {
                let there = |needle| memchr::memmem::find(bytes, needle).is_some();
                ensure!(!there(needle) && !there(hex.as_bytes()), "{what} of {version:?} stands in the {place}");
            }
        }
    }
    agent.stop()
}

/// All that the agent has said.
fn outputs(agent: &Agent) -> Result<[(&'static str, Vec<u8>); 4]> {
    Ok([
        ("events", fs::read(agent.events_file())?),
        ("log", agent.log().into_bytes()),
        ("metrics", agent.http("/metrics")?.1.into_bytes()),
        ("page", agent.http("/")?.1.into_bytes()),
    ])
}

fn a_recording_holds_no_ciphertext() -> Result<()> {
    let lab = Lab::new()?;
    let (_nginx, certificate) = server(&lab)?;
    agent::retire()?;
    let file = lab.dir().join("recording");
    let mut command = agent::command();
    command.args(["watch", SIGHT, "--json", "--count=4", "--for=20s", "--record"]).arg(&file);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Its recording begins once it is attached.
    let ready = wait::until_true("the recording to begin", LIMIT * 2, || file.exists());
    // One may go untold.
    let versions = [&TLS13, &TLS12].into_iter().cycle().take(6);
    let fail = |version| Ok((version, fail(&lab, &certificate, version)?));
    let sessions = ready.and_then(|()| versions.map(fail).collect::<Result<Vec<_>>>());
    if sessions.is_err() {
        watch.kill()?;
    }
    let output = watch.wait_with_output()?;
    let (sessions, told) = (sessions?, String::from_utf8_lossy(&output.stdout).into_owned());
    let recorded = fs::read(&file)?;
    for wanted in [&TLS13, &TLS12] {
        let is_told = |(version, session): &(&Version, Session)| *version == wanted && told.contains(session.ray());
        ensure!(sessions.iter().any(is_told), "{told}{}", String::from_utf8_lossy(&output.stderr));
    }
    for (_, session) in &sessions {
        let requests = session.sealed();
        ensure!(!requests.is_empty(), "the client sent no application data");
        for part in requests.iter().flat_map(|request| request.as_chunks::<16>().0) {
            ensure!(memchr::memmem::find(&recorded, part).is_none(), "ciphertext stands in the recording");
        }
        for secret in session.secrets() {
            ensure!(memchr::memmem::find(&recorded, &secret).is_none(), "a secret stands in the recording");
        }
    }
    Ok(())
}

fn with_sight_only_the_process_that_attaches_can() -> Result<()> {
    let agent = Agent::fresh(&[SIGHT])?;
    for thread in unit::threads(&agent)? {
        let opens_files = if thread["Name"] == "tls-libraries" { CHECKPOINT_RESTORE } else { 0 };
        let wanted = unit::kept(&thread, SYS_PTRACE | DAC_OVERRIDE | opens_files);
        unit::only(&thread, wanted, &["CapPrm", "CapEff", "CapBnd"])?;
    }
    let attaches = unit::threads_of(attaching(&agent)?)?;
    ensure!(attaches.len() == 1, "the process that attaches has {} threads", attaches.len());
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        let kept = u64::from_str_radix(&attaches[0][name], 16)?;
        ensure!(kept == BPF | PERFMON | more_before_6_6(), "{name} of the process that attaches is {kept:x}");
    }
    ensure!(attaches[0]["NoNewPrivs"] == "1", "{:?}", attaches[0]);
    Ok(())
}

/// Without links for many probes, to attach takes CAP_SYS_ADMIN.
fn more_before_6_6() -> u64 {
    const SYS_ADMIN: u64 = 1 << 21;
    if is_older_than(6, 6) { SYS_ADMIN } else { 0 }
}

fn with_sight_and_the_units_privileges_nobody_may_look_into_the_agent() -> Result<()> {
    let lab = Lab::new()?;
    let (_nginx, certificate) = server(&lab)?;
    let agent = Agent::start_as_unit(&[SIGHT])?;
    for process in [agent.pid(), attaching(&agent)?] {
        // What may not be dumped is root's, whoever runs it (proc(5)).
        let owner = fs::metadata(format!("/proc/{process}/mem"))?.uid();
        ensure!(owner == 0, "the memory of {process} is user {owner}'s");
        let limits = fs::read_to_string(format!("/proc/{process}/limits"))?;
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
        ensure!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid()))?;
    let lockable = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap_or_default();
    if lockable.split_whitespace().nth(3) == Some("unlimited") {
        let status = &unit::threads_of(agent.pid())?[0];
        ensure!(status["VmLck"].trim() != "0 kB", "no memory is locked\n{}", agent.log());
    } else {
        println!("not looked at: whether memory is locked, since this host limits that ({lockable})");
    }
    let metrics = agent.metrics()?;
    for own in ["process_open_fds", "process_resident_memory_bytes"] {
        ensure!(metrics.sum(own, &[]).is_some_and(|value| value > 0.0), "the agent can't read its own {own}");
    }
    // What listens in another network namespace is known from its first connection on.
    fail(&lab, &certificate, &TLS13)?;
    let attached = wait::until_true("the probe", LIMIT, || agent.log().contains("sight inside TLS: OpenSSL"));
    attached.with_context(|| agent.log())?;
    fail_and_tell(&lab, &certificate, &TLS13, &agent).map(|_| ())
}

fn no_probe_stays_in_a_server_however_the_agent_ends() -> Result<()> {
    let lab = Lab::new()?;
    let (nginx, certificate) = server(&lab)?;
    let worker = nginx.workers().first().copied().context("nginx without a worker")?;
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let traffic = || -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let mut session = Session::open(lab.connect(EDGE_B, PORT)?, &TLS13, &certificate)?;
            for _ in 0..2 {
                let answer = session.ask("/", "")?;
                ensure!(answer.starts_with("HTTP/1.1 200"), "the server answered {answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let traffic = scope.spawn(traffic);
        let ends = [Signal::TERM, Signal::KILL, Signal::KILL, Signal::KILL].into_iter().try_for_each(|end| {
            let mut agent = Agent::fresh(&[SIGHT])?;
            let attached = wait::until_true("a probe in the worker", LIMIT, || changed(worker).is_ok_and(|c| c > 0));
            attached.with_context(|| agent.log())?;
            more(&answered)?;
            let attaching = attaching(&agent)?;
            agent.end(end)?;
            wait::until_true("the probe to go", LIMIT, || changed(worker).is_ok_and(|count| count == 0))
                .with_context(|| format!("{end:?}: {:?}", changed(worker)))?;
            wait::until_true("the process that attaches to go", LIMIT, || !procs::alive(attaching))?;
            more(&answered)
        });
        let lost = ends.and_then(|()| {
            let mut agent = Agent::fresh(&[SIGHT])?;
            procs::signal(attaching(&agent)?, Signal::KILL);
            wait::until_true("the probe to go", LIMIT, || changed(worker).is_ok_and(|count| count == 0))?;
            wait::until_true("the agent to say so", LIMIT, || agent.log().contains("sight inside TLS has ended"))?;
            more(&answered)?;
            agent.stop()
        });
        stop.store(true, Ordering::Relaxed);
        let traffic = traffic.join().map_err(|_| anyhow!("the traffic panicked"))?;
        traffic.context("the server's own requests").and(lost)
    })?;
    println!("requests answered meanwhile: {}", answered.load(Ordering::Relaxed));
    Ok(())
}

/// Waits for more of the server's own requests to be answered.
fn more(answered: &AtomicU64) -> Result<()> {
    let before = answered.load(Ordering::Relaxed);
    wait::until_true("more answers", LIMIT, || answered.load(Ordering::Relaxed) >= before + 20)
}

/// Bytes of the TLS library's code in the memory of a process that are not those of its file.
fn changed(pid: u32) -> Result<usize> {
    let memory = scan::memory(pid)?;
    let mut changed = 0;
    let mut code = scan::mappings(pid)?;
    code.retain(|one| one.executable && one.name.contains("/libssl"));
    ensure!(!code.is_empty(), "process {pid} maps no libssl");
    for mapping in &code {
        let len = usize::try_from(mapping.end - mapping.start)?;
        let (mut here, mut there) = (vec![0; len], vec![0; len]);
        memory.read_exact_at(&mut here, mapping.start)?;
        let read = File::open(Path::new(&mapping.name))?.read_at(&mut there, mapping.offset)?;
        changed += here[..read].iter().zip(&there[..read]).filter(|(here, there)| here != there).count();
    }
    Ok(changed)
}

/// The process that attaches.
fn attaching(agent: &Agent) -> Result<u32> {
    let children = procs::children(agent.pid());
    ensure!(children.len() == 1, "the agent has the children {children:?}\n{}", agent.log());
    Ok(children[0])
}
