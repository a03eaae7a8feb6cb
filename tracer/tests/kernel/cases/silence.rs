//! What leaves the edge waiting: a full queue, a request that nobody takes, a connection that vanished.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{EDGE_A, EDGE_B, EDGE_V6, Lab, ORIGIN_V4, STRANGER, Seen, wait};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::{LIMIT, ORIGIN, READ, Stopped, answered, haproxy, saw, staged, worker};
use crate::agent::Agent;
use crate::runner::{Case, Skip, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_full_accept_queue,
        a_full_syn_queue,
        a_request_that_is_not_read,
        a_connection_that_vanishes,
        a_process_that_is_stopped,
        a_process_that_is_frozen,
    ]
}

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// More than the buffers of both ends hold.
const UPLOAD: usize = 32 << 20;

fn a_full_accept_queue() -> Result<()> {
    let lab = Lab::new()?;
    // A queue for one more than this, and nobody who accepts.
    let usual = lab.origin().inside(|| std::fs::read_to_string("/proc/sys/net/core/somaxconn"))??;
    lab.origin().sysctl("net/core/somaxconn", "1")?;
    let origin = lab.start_origin(&Spec::new(80).mode(Mode::NeverAccept), None)?;
    lab.origin().sysctl("net/core/somaxconn", usual.trim())?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    let _held = [lab.connect(EDGE_B, 80)?, lab.connect(EDGE_B, 80)?];
    let mut wants = Vec::new();
    for exchange in at_once(&lab, [EDGE_A, EDGE_V6])? {
        let exchange = saw(exchange, &[Seen::Timeout])?;
        wants.push(Want::new(&exchange, "listen_overflow", 522, "no_synack").with("process", ORIGIN));
    }
    check(agent, &lab, &wants)?;
    drop(origin);
    Ok(())
}

/// SYN cookies are off, and strangers' handshakes, which nobody completes, fill three quarters of what the host allows.
fn a_full_syn_queue() -> Result<()> {
    const MOST: u16 = 64;
    let lab = Lab::new()?;
    lab.origin().sysctl("net/ipv4/tcp_syncookies", "0")?;
    lab.origin().sysctl("net/ipv4/tcp_max_syn_backlog", &MOST.to_string())?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&["--connect-timeout=1500ms"])?;
    saw(lab.get(EDGE_A, 80, "/ok")?, &[Seen::Complete(200)])?;
    let rule = format!("ip daddr {STRANGER} tcp sport 80 drop");
    let rules = format!("table inet t {{\nchain c {{\ntype filter hook prerouting priority -300;\n{rule}\n}}\n}}\n");
    lab.edge().run("nft", &["-f", "-"], &rules)?;
    let mut half_open = Vec::new();
    for _ in 0..=MOST * 3 / 4 {
        let socket = lab.edge().inside(|| socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None))??;
        bind(&socket, &SocketAddr::new(STRANGER, 0))?;
        ensure!(connect(&socket, &SocketAddr::new(ORIGIN_V4, 80)) == Err(Errno::INPROGRESS), "a stranger connected");
        half_open.push(socket);
    }
    let mut wants = Vec::new();
    for exchange in at_once(&lab, [EDGE_B, EDGE_V6])? {
        let exchange = saw(exchange, &[Seen::Timeout])?;
        wants.push(Want::new(&exchange, "listen_overflow", 522, "no_synack").with("process", ORIGIN));
    }
    check(agent, &lab, &wants)?;
    drop((origin, half_open));
    Ok(())
}

/// Asks from each address at the same time: who gets no answer waits for long.
fn at_once(lab: &Lab, from: [std::net::IpAddr; 2]) -> Result<Vec<lab::Exchange>> {
    std::thread::scope(|scope| {
        let asking = from.map(|from| scope.spawn(move || lab.get(from, 80, "/ok")));
        asking.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("an edge panicked"))?).collect()
    })
}

fn a_request_that_is_not_read() -> Result<()> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&["--write-timeout=600ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send_with("POST", "/ignore", &format!("Content-Length: {UPLOAD}\r\n"), b"")?;
    origin.wait_asked("/ignore", 1, LIMIT)?;
    ensure!(conn.fill(UPLOAD)?, "the origin took {UPLOAD} bytes");
    let want = Want::new(&conn.exchange(Seen::Timeout), "request_stalled", 524, "zero_window");
    check(agent, &lab, &[want.process(ORIGIN, worker(&origin)?).with("certainty", "certain")])
}

fn a_connection_that_vanishes() -> Result<()> {
    let lab = Lab::new()?;
    let frontend = "bind :80\n  http-request silent-drop if { path /gone }\n  http-request return status 200\n";
    let origin = haproxy(&lab, 80, frontend)?;
    let agent = Agent::start(&[])?;
    saw(lab.get(EDGE_B, 80, "/")?, &[Seen::Complete(200)])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send("/gone")?;
    let want = Want::new(&conn.exchange(Seen::Timeout), "silent_drop", 524, "no_response");
    check(agent, &lab, &[want.process("haproxy", origin.pid()).with("certainty", "certain")])
}

fn a_process_that_is_stopped() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    let pid = worker(&origin)?;
    // One request is in its hands, the other one waits in the accept queue.
    let mut taken = lab.connect(EDGE_A, 80)?;
    answered(&mut taken)?;
    taken.send("/hang")?;
    origin.wait_asked("/hang", 1, LIMIT)?;
    let _stopped = Stopped::new(pid)?;
    let mut queued = lab.connect(EDGE_B, 80)?;
    queued.send("/ok")?;
    let wants = [&taken, &queued].map(|conn| {
        let want = Want::new(&conn.exchange(Seen::Timeout), "response_timeout", 524, "no_response");
        want.saying("does not run: it is stopped by a signal").saying(pid.to_string())
    });
    check(agent, &lab, &wants)
}

fn a_process_that_is_frozen() -> Result<()> {
    let (lab, origin) = staged()?;
    let agent = Agent::start(&[READ])?;
    let pid = worker(&origin)?;
    let group = FrozenGroup::make()?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send("/hang")?;
    origin.wait_asked("/hang", 1, LIMIT)?;
    group.freeze(pid)?;
    let want = Want::new(&conn.exchange(Seen::Timeout), "response_timeout", 524, "no_response");
    let says = format!("{ORIGIN}[{pid}] does not run: it is frozen with its control group");
    check(agent, &lab, &[want.process(ORIGIN, pid).saying(says)])
}

/// A control group of version 2; what is in it goes back to the root as this goes.
struct FrozenGroup(PathBuf);

impl FrozenGroup {
    fn make() -> Result<Self> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists());
        let root = root.ok_or(Skip("control groups of version 2 are not mounted"))?;
        let group = root.join(format!("tracer-frozen-{}", std::process::id()));
        fs::create_dir(&group).with_context(|| format!("making {}", group.display()))?;
        Ok(Self(group))
    }

    fn freeze(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())?;
        fs::write(self.0.join("cgroup.freeze"), "1").map_err(|_| Skip("this kernel does not freeze control groups"))?;
        wait::until_true("the group to freeze", LIMIT, || {
            fs::read_to_string(self.0.join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
        })
    }
}

impl Drop for FrozenGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.freeze"), "0");
        let pids = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines() {
            let _ = fs::write(self.0.with_file_name("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}
