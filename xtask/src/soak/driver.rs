//! Drives one connection after the other, on a thread inside the edge's namespace, and writes down each exchange.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::book::{Arrives, Book, Entry, Expect};
use super::edge::{Conn, Leave, Ports, Request, Seen, any_address, origin_for};
use super::kinds::Kind;
use super::rng::Rng;
use super::scenario::{How, Scenario};
use super::server::Server;
use super::start::Servers;
use super::tls;
use lab::{STRANGER, procs};

/// An answer that takes longer may be a timeout to tracer: the machine was too busy to tell.
const SLOW: Duration = Duration::from_millis(1500);
/// What a busy machine may take for the rest: an idle timeout of a second, a worker that says who it is.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between a request and an edge that leaves without the answer, which takes 300 ms.
const BEFORE_LEAVING: std::ops::Range<usize> = 10..100;

/// One thread's edge.
pub(super) struct Driver<'a> {
    pub(super) book: &'a Book,
    pub(super) ports: &'a Ports,
    pub(super) tls: &'a tls::Edge,
    pub(super) servers: &'a Servers,
    pub(super) rng: Rng,
}

/// A request on its way.
struct Sent {
    ray: u64,
    at: Instant,
}

impl Driver<'_> {
    /// Opens a connection of the edge's.
    pub(super) fn open(&mut self, server: &'static Server) -> Result<Conn> {
        let from = any_address(&mut self.rng);
        let conn = Conn::open(self.ports, from, server.port)?;
        let mut conn = conn.map_err(|from| anyhow::anyhow!("{} refused a connection from {from}", server.name))?;
        self.book.connected(conn.to);
        if server.tls {
            conn.shake(self.tls, &mut self.rng).with_context(|| format!("to {} on :{}", server.name, server.port))?;
        }
        Ok(conn)
    }

    /// A sound exchange, of a kind that the server knows.
    pub(super) fn visit(&mut self, server: &'static Server, conn: &mut Conn) -> Result<Seen> {
        let kind = self.rng.pick(server.kinds);
        self.sound(server, conn, kind)
    }

    fn sound(&mut self, server: &'static Server, conn: &mut Conn, kind: &Kind) -> Result<Seen> {
        let sent = self.send(conn, &kind.request)?;
        let seen = conn.answer()?;
        let expect = staged(seen == Seen::Whole(kind.status), sent.at, Expect::Nothing, kind.request.path);
        let arrives = if matches!(expect, Expect::Nothing) { Arrives::Yes } else { Arrives::Perhaps };
        self.note(server, conn, sent, seen, expect, arrives);
        Ok(seen)
    }

    /// Plays the scenario once.
    pub(super) fn provoke(&mut self, scenario: &'static Scenario) -> Result<()> {
        match scenario.how {
            How::Ask(path) => self.ask(scenario, path),
            How::AskAsStranger(path) => self.ask_as_stranger(scenario, path),
            How::Refused => self.refused(scenario),
            How::Late => self.late(scenario),
            How::Rejected => self.rejected(scenario),
            How::HolderKilled => self.holder_killed(scenario),
            How::LeaveEarly(path, leave) => self.leave_early(scenario, path, leave),
            How::LeaveInBody(path, leave) => self.leave_in_body(scenario, path, leave),
            How::HalfClose(path) => self.half_close(scenario, path),
            How::Monitor(leave) => self.left(scenario, b"", leave),
            How::HalfRequest(leave) => self.left(scenario, b"GET /small HTTP/1.1\r\nHo", leave),
            How::Idle => self.idle(scenario),
        }
    }

    fn ask(&mut self, scenario: &'static Scenario, path: &'static str) -> Result<()> {
        let mut conn = self.begin(scenario.server)?;
        let sent = self.send(&mut conn, &Request::get(path))?;
        let seen = conn.answer()?;
        self.judge(scenario, &conn, sent, seen, Arrives::Yes);
        Ok(())
    }

    /// A fresh connection, or one on which sound exchanges went before.
    fn begin(&mut self, server: &'static Server) -> Result<Conn> {
        let mut conn = self.open(server)?;
        let before = if server.keeps { self.rng.below(4) } else { 0 };
        for _ in 0..before {
            if !matches!(self.visit(server, &mut conn)?, Seen::Whole(_)) || conn.closes {
                return self.open(server);
            }
        }
        Ok(conn)
    }

    fn ask_as_stranger(&mut self, scenario: &'static Scenario, path: &'static str) -> Result<()> {
        let opened = Conn::open(self.ports, STRANGER, scenario.server.port)?;
        let mut conn = opened.ok().context("a stranger was refused")?;
        let sent = self.send(&mut conn, &Request::get(path))?;
        let seen = conn.answer()?;
        self.judge(scenario, &conn, sent, seen, Arrives::No);
        Ok(())
    }

    fn refused(&mut self, scenario: &'static Scenario) -> Result<()> {
        let from = any_address(&mut self.rng);
        let (server, ray, since) = (scenario.server, self.rng.next(), Instant::now());
        let opened = Conn::open(self.ports, from, server.port)?;
        let from = opened.err().with_context(|| format!("somebody listens on port {}", server.port))?;
        let to = origin_for(from.ip(), server.port);
        let (took, expect) = (since.elapsed(), expected(scenario));
        self.book.note(Entry { server, ray, from, to, seen: Seen::Refused, took, expect, arrives: Arrives::No });
        Ok(())
    }

    fn late(&mut self, scenario: &'static Scenario) -> Result<()> {
        let mut conn = self.open(scenario.server)?;
        if !matches!(self.visit(scenario.server, &mut conn)?, Seen::Whole(_)) {
            return Ok(());
        }
        ensure!(conn.wait_left(PATIENCE)?, "{} keeps an idle connection", scenario.server.name);
        self.ask_in_vain(scenario, conn)
    }

    fn rejected(&mut self, scenario: &'static Scenario) -> Result<()> {
        let mut conn = self.open(scenario.server)?;
        ensure!(conn.wait_left(PATIENCE)?, "{} keeps a connection that it should reject", scenario.server.name);
        self.ask_in_vain(scenario, conn)
    }

    fn ask_in_vain(&mut self, scenario: &'static Scenario, mut conn: Conn) -> Result<()> {
        let sent = self.send(&mut conn, &Request::get("/small"))?;
        let seen = conn.answer()?;
        self.judge(scenario, &conn, sent, seen, Arrives::No);
        Ok(())
    }

    fn holder_killed(&mut self, scenario: &'static Scenario) -> Result<()> {
        let mut conn = self.begin(scenario.server)?;
        let token = self.rng.next();
        let sent = self.send(&mut conn, &Request { query: Some(token), ..Request::get("/hold") })?;
        let worker = self.servers.holder(token, PATIENCE)?;
        procs::signal(worker, Signal::KILL);
        let seen = conn.answer()?;
        self.judge(scenario, &conn, sent, seen, Arrives::Yes);
        Ok(())
    }

    fn leave_early(&mut self, scenario: &'static Scenario, path: &'static str, leave: Leave) -> Result<()> {
        let mut conn = self.begin(scenario.server)?;
        let sent = self.send(&mut conn, &Request::get(path))?;
        let wait = self.rng.around(Duration::from_millis(100), BEFORE_LEAVING);
        std::thread::sleep(wait);
        self.judge(scenario, &conn, sent, Seen::Left, Arrives::Yes);
        conn.leave(leave)
    }

    fn leave_in_body(&mut self, scenario: &'static Scenario, path: &'static str, leave: Leave) -> Result<()> {
        let mut conn = self.begin(scenario.server)?;
        let sent = self.send(&mut conn, &Request::get(path))?;
        conn.wait_first_byte(PATIENCE)?;
        self.judge(scenario, &conn, sent, Seen::Left, Arrives::Yes);
        conn.leave(leave)
    }

    fn half_close(&mut self, scenario: &'static Scenario, path: &'static str) -> Result<()> {
        let mut conn = self.begin(scenario.server)?;
        let sent = self.send(&mut conn, &Request::get(path))?;
        conn.half_close()?;
        let seen = conn.answer()?;
        self.judge(scenario, &conn, sent, seen, Arrives::Yes);
        Ok(())
    }

    /// Connects, sends these bytes, leaves.
    fn left(&mut self, scenario: &'static Scenario, bytes: &[u8], leave: Leave) -> Result<()> {
        let mut conn = self.open(scenario.server)?;
        let sent = Sent { ray: self.rng.next(), at: Instant::now() };
        conn.send_raw(bytes)?;
        let arrives = if bytes.is_empty() { Arrives::No } else { Arrives::Perhaps };
        self.judge(scenario, &conn, sent, Seen::Left, arrives);
        conn.leave(leave)
    }

    fn idle(&mut self, scenario: &'static Scenario) -> Result<()> {
        let mut conn = self.open(scenario.server)?;
        self.visit(scenario.server, &mut conn)?;
        let sent = Sent { ray: self.rng.next(), at: Instant::now() };
        ensure!(conn.wait_left(PATIENCE)?, "{} keeps an idle connection", scenario.server.name);
        self.note(scenario.server, &conn, sent, Seen::Left, Expect::Nothing, Arrives::No);
        Ok(())
    }

    fn send(&mut self, conn: &mut Conn, request: &Request) -> Result<Sent> {
        let ray = self.rng.next();
        conn.send(request, ray)?;
        Ok(Sent { ray, at: Instant::now() })
    }

    fn judge(&self, scenario: &'static Scenario, conn: &Conn, sent: Sent, seen: Seen, arrives: Arrives) {
        let good = scenario.seen.contains(&seen);
        let expect = if good && matches!(seen, Seen::Silent | Seen::Stalled) {
            expected(scenario)
        } else {
            staged(good, sent.at, expected(scenario), scenario.name)
        };
        self.note(scenario.server, conn, sent, seen, expect, arrives);
    }

    fn note(&self, server: &'static Server, conn: &Conn, sent: Sent, seen: Seen, expect: Expect, arrives: Arrives) {
        let Conn { from, to, .. } = *conn;
        self.book.note(Entry { server, ray: sent.ray, from, to, seen, took: sent.at.elapsed(), expect, arrives });
    }
}

fn expected(scenario: &'static Scenario) -> Expect {
    if scenario.fails() { Expect::Failure(scenario) } else { Expect::Nothing }
}

/// What to expect, unless the edge saw something else than planned or the machine was too slow.
fn staged(good: bool, since: Instant, expect: Expect, name: &'static str) -> Expect {
    if good && since.elapsed() < SLOW { expect } else { Expect::Unstaged(name) }
}
