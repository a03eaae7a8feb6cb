//! An incident of many causes: whatever the lab can make in seconds, and sound traffic beside it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{Conn, EDGE_A, EDGE_B, EDGE_C, EDGE_V6, End, Lab, MemoryGroup, Nginx, NginxOptions, Process, Seen, wait};

/// The agent must lose its patience soon, and mind small header sections.
pub(crate) const OPTIONS: [&str; 3] = ["--read-timeout=600ms", "--connect-timeout=1500ms", "--header-limit=20000"];
/// The causes that are made.
pub(crate) const STAGED: [&str; 24] = [
    "oom_kill",
    "crash",
    "supervisor_kill",
    "process_killed",
    "process_exit",
    "listener_closed",
    "port_closed",
    "keepalive_race",
    "closed_before_request",
    "closed_unread",
    "app_reset",
    "empty_reply",
    "truncated_headers",
    "truncated_body",
    "reset_mid_response",
    "malformed_response",
    "headers_too_large",
    "response_timeout",
    "response_stalled",
    "listen_overflow",
    "firewall_drop",
    "firewall_reject",
    "tls_to_plain_port",
    "tls_handshake_failed",
];

const LIMIT: Duration = Duration::from_secs(5);
/// Sound requests.
const SOUND: usize = 40;
/// A ClientHello.
const HELLO: &[u8] = include_bytes!("../../tls/plain_http_page.edge.bin");
/// The ports: what listens there fails on request, in its own way, or never.
const HTTP: u16 = 80;
const CLOSES: u16 = 81;
const UNREAD: u16 = 82;
const LETS_GO: u16 = 83;
const IDLE: u16 = 84;
const PLAIN: u16 = 85;
const FULL: u16 = 86;
const SLOW: u16 = 87;
const NOBODY: u16 = 9;

/// The lab with all that listens in it.
pub(crate) struct Incident {
    http: Process,
    _others: Vec<Process>,
    _nginx: Nginx,
    _memory: MemoryGroup,
    lab: Lab,
}

impl Incident {
    /// Starts everything that will fail.
    pub(crate) fn prepare() -> Result<Self> {
        let lab = Lab::new()?;
        let memory = lab.memory_group(64 << 20)?;
        // A queue for one more than this, and nobody who accepts.
        let queue = lab.origin().inside(|| std::fs::read_to_string("/proc/sys/net/core/somaxconn"))??;
        lab.origin().sysctl("net/core/somaxconn", "1")?;
        let full = lab.start_origin(&Spec::new(FULL).mode(Mode::NeverAccept), None)?;
        lab.origin().sysctl("net/core/somaxconn", queue.trim())?;
        let http = lab.start_origin(&Spec::new(HTTP), Some(&memory))?;
        let idle = Duration::from_millis(200);
        let specs = [
            Spec::new(CLOSES).mode(Mode::Close),
            Spec::new(UNREAD).mode(Mode::CloseUnread),
            Spec::new(LETS_GO).mode(Mode::LetGo).workers(0).idle(idle),
            Spec::new(IDLE).idle(idle),
            Spec::new(SLOW),
        ];
        let others: Result<Vec<_>> = specs.iter().map(|spec| lab.start_origin(spec, None)).collect();
        let plain = format!("server {{ listen {PLAIN}; location / {{ return 200 ok; }} }}");
        let options = NginxOptions { http: &plain, ports: &[PLAIN], workers: 1, ..NginxOptions::default() };
        let nginx = Nginx::start(&lab, &options)?;
        let rules = format!(
            "table inet t {{\nchain c {{\ntype filter hook input priority 0;\n\
             ip saddr {EDGE_B} tcp dport {IDLE} drop\n\
             ip saddr {EDGE_C} tcp dport {IDLE} reject with tcp reset\n}}\n}}\n"
        );
        lab.origin().run("nft", &["-f", "-"], &rules)?;
        let others = others?.into_iter().chain([full]).collect();
        Ok(Self { http, _others: others, _nginx: nginx, _memory: memory, lab })
    }

    /// Requests that are answered.
    pub(crate) fn sound(&self) -> Result<()> {
        let mut kept = self.lab.connect(EDGE_A, HTTP)?;
        for _ in 0..SOUND {
            expect(kept.request("/ok")?.seen, &[Seen::Complete(200)])?;
        }
        for path in ["/slow?ms=150", "/headers?bytes=9000"] {
            expect(self.lab.get(EDGE_V6, HTTP, path)?.seen, &[Seen::Complete(200)])?;
        }
        // The origin's own 502: what it asked hung up.
        let path = format!("/via?port={CLOSES}&to=/");
        expect(self.lab.get(EDGE_A, HTTP, &path)?.seen, &[Seen::Complete(502)])?;
        // On one link the origin must know its neighbour before its firewall can answer him at once.
        expect(self.lab.get(EDGE_C, HTTP, "/ok")?.seen, &[Seen::Complete(200)])?;
        // The edge's visitor left: a reset that is no failure.
        let mut left = self.lab.connect(EDGE_A, HTTP)?;
        left.send("/slow?ms=100")?;
        left.abort()
    }

    /// Makes all of [`STAGED`]; returns the ray of the last request that got an empty reply.
    pub(crate) fn happen(&self) -> Result<String> {
        std::thread::scope(|scope| {
            // These wait for an edge that waits.
            let waiting = [
                scope.spawn(|| self.dropped(EDGE_B, IDLE)),
                scope.spawn(|| self.overflow()),
                scope.spawn(|| self.never_answered()),
            ];
            let ray = self.at_once();
            for one in waiting {
                one.join().map_err(|_| anyhow::anyhow!("a failure's maker panicked"))??;
            }
            ray
        })
    }

    fn at_once(&self) -> Result<String> {
        let lab = &self.lab;
        for (path, outcome) in [
            ("/linger", Seen::Reset),
            ("/cut", Seen::Partial),
            ("/cut-head", Seen::Partial),
            ("/cut-reset", Seen::PartialReset),
            ("/rubbish", Seen::Partial),
            ("/headers?bytes=20001", Seen::Complete(200)),
        ] {
            expect(lab.get(EDGE_A, HTTP, path)?.seen, &[outcome]).context(path)?;
        }
        expect(lab.get(EDGE_A, UNREAD, "/")?.seen, &[Seen::Reset])?;
        expect(lab.get(EDGE_A, NOBODY, "/")?.seen, &[Seen::Refused])?;
        expect(lab.get(EDGE_C, IDLE, "/")?.seen, &[Seen::Refused])?;
        late(lab.connect(EDGE_A, CLOSES)?)?;
        let mut idle = lab.connect(EDGE_A, IDLE)?;
        expect(idle.request("/ok")?.seen, &[Seen::Complete(200)])?;
        late(idle)?;
        let mut unaccepted = lab.connect(EDGE_A, LETS_GO)?;
        unaccepted.send("/")?;
        expect(unaccepted.answer()?.seen, &[Seen::Reset])?;
        for port in [PLAIN, UNREAD] {
            let mut tls = lab.connect(EDGE_A, port)?;
            tls.send_raw(HELLO)?;
            expect(tls.answer()?.seen, &[Seen::Complete(400), Seen::Reset])?;
        }
        self.deaths()?;
        let last = lab.get(EDGE_A, HTTP, "/empty")?;
        expect(last.seen, &[Seen::Empty])?;
        Ok(last.ray)
    }

    /// The worker ends in every way, each time with a request in hand.
    fn deaths(&self) -> Result<()> {
        for path in ["/segv", "/exit?code=3", "/stuck", "/oom"] {
            let old = self.worker()?;
            expect(self.lab.get(EDGE_A, HTTP, path)?.seen, &[Seen::Empty]).context(path)?;
            self.successor(old)?;
        }
        let old = self.worker()?;
        let mut conn = self.lab.connect(EDGE_A, HTTP)?;
        conn.send("/hang")?;
        self.http.wait_asked("/hang", 1, LIMIT)?;
        ensure!(Command::new("kill").args(["-s", "KILL", &old.to_string()]).status()?.success(), "kill failed");
        expect(conn.answer()?.seen, &[Seen::Empty])?;
        self.successor(old)
    }

    fn dropped(&self, from: std::net::IpAddr, port: u16) -> Result<()> {
        expect(self.lab.get(from, port, "/")?.seen, &[Seen::Timeout])
    }

    /// Fills the accept queue, and asks once more.
    fn overflow(&self) -> Result<()> {
        let _held = [self.lab.connect(EDGE_A, FULL)?, self.lab.connect(EDGE_A, FULL)?];
        self.dropped(EDGE_A, FULL)
    }

    fn never_answered(&self) -> Result<()> {
        let (mut nothing, mut part) = (self.lab.connect(EDGE_A, SLOW)?, self.lab.connect(EDGE_A, SLOW)?);
        nothing.send("/hang")?;
        part.send("/partial")?;
        expect(nothing.answer()?.seen, &[Seen::Timeout])
    }

    fn worker(&self) -> Result<u32> {
        Ok(self.http.wait_workers(1, LIMIT)?[0])
    }

    fn successor(&self, old: u32) -> Result<()> {
        wait::until_true("a new worker", LIMIT, || self.http.workers().first().is_some_and(|&pid| pid != old))
    }
}

/// A request once the origin has left.
fn late(mut conn: Conn) -> Result<()> {
    ensure!(conn.wait_end(LIMIT)? == End::Fin, "the origin keeps the connection");
    expect(conn.request("/")?.seen, &[Seen::Empty, Seen::Reset])
}

fn expect(seen: Seen, outcomes: &[Seen]) -> Result<()> {
    ensure!(outcomes.contains(&seen), "the edge saw {seen:?}, staged was {outcomes:?}");
    Ok(())
}
