//! Looks for what no packet shows: connections whose edge has waited too long, and packets that went missing for good.
//! Only finds candidates here; the kernel program that is run on each decides, and makes the record.

use std::{
    collections::{BTreeSet, HashMap as Memory},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use log::debug;
use tracer_common::{Attempt, Config, Conn, Tuple, answers, attempt, attempt_state, conn_flags, hook};

use super::{
    connections::Connections,
    object::{self, run, take},
};
use crate::diagnose::{Held, Limits};

/// Bounds of the pause between two looks: a timeout is reported soon after it has passed, at little cost.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A look may take this part of the time: many connections are looked at more rarely.
const SHARE: u32 = 100;
/// After so long even those are looked at of which nothing is to be expected: the end of one may have gone unseen.
const AGAIN: Duration = Duration::from_secs(60);
/// With more open connections than this the one that nobody accepted is not compared with them.
const MOST_HELD: usize = 1_000;

/// The tables that are looked through, and the limits that are looked for.
pub struct Sweep {
    connections: Connections,
    attempts: HashMap<MapData, Tuple, Attempt>,
    config: Array<MapData, Config>,
    limits: Limits,
    tick_ns: u64,
    /// Connections of which nothing is to be expected until their next exchange.
    settled: Memory<u64, u32>,
    settled_since: Instant,
    took: Duration,
}

impl Sweep {
    pub(super) fn new(ebpf: &mut Ebpf, connections: Connections, tick_ns: u64) -> Result<Self> {
        for name in ["inspect_connection", "inspect_attempt"] {
            object::load(ebpf, name)?;
        }
        Ok(Self {
            connections,
            attempts: HashMap::try_from(take(ebpf, "ATTEMPTS")?)?,
            config: Array::try_from(take(ebpf, "CONFIG")?)?,
            limits: Limits::default(),
            tick_ns: tick_ns.max(1),
            settled: Memory::new(),
            settled_since: Instant::now(),
            took: Duration::ZERO,
        })
    }

    /// Puts these limits in force, in the kernel too.
    pub fn set_limits(&mut self, limits: Limits) -> Result<()> {
        let config = kernel_config(&limits, self.tick_ns);
        self.config.set(0, &config, 0).context("handing the limits to the kernel")?;
        self.limits = limits;
        self.settled.clear();
        Ok(())
    }

    /// When to look next.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let limits = &self.limits;
        let shortest = limits.read.min(limits.write).min(limits.connect).min(limits.ack);
        (shortest / 16).clamp(SHORTEST, LONGEST).max(self.took * SHARE)
    }

    /// Looks at everything once; `now_ns` is kernel time.
    pub(super) fn look(&mut self, ebpf: &mut Ebpf, now_ns: u64) {
        let started = Instant::now();
        if let Err(error) = self.connections(ebpf, now_ns).and_then(|()| self.missing(ebpf, now_ns)) {
            debug!("looking for timeouts: {error:#}");
        }
        self.took = started.elapsed();
    }

    /// The connections of a port that processes have read from; `None`: too many are open to go through them.
    pub(super) fn held(&self, ebpf: &mut Ebpf, netns: u32, port: u16) -> Option<Held> {
        let open = self.connections.at_most(ebpf, MOST_HELD).unwrap_or_default()?;
        let held = || open.iter().filter(|conn| of_port(conn, netns, port) && conn.owner != 0);
        let http = |conn: &&Conn| conn.flags & conn_flags::HTTP != 0;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Some(Held {
            connections: count(held().count()),
            processes: count(held().map(|conn| conn.owner).collect::<BTreeSet<_>>().len()),
            awaited: held().all(|conn| http(&conn)).then(|| count(held().filter(|conn| conn.is_awaited()).count())),
        })
    }

    /// All connections that are open.
    pub(super) fn open(&self, ebpf: &mut Ebpf) -> Result<Vec<Conn>> {
        self.connections.all(ebpf)
    }

    fn connections(&mut self, ebpf: &mut Ebpf, now_ns: u64) -> Result<()> {
        if self.settled_since.elapsed() >= AGAIN {
            self.settled.clear();
            self.settled_since = Instant::now();
        }
        let mut settled = Memory::with_capacity(self.settled.len());
        let quiet = Limits::nearly(self.limits.read.min(self.limits.write));
        let since = now_ns.saturating_sub(u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX));
        for conn in self.connections.quiet_since(ebpf, since)? {
            let known = self.settled.get(&conn.key) == Some(&conn.exchanges);
            if known || run(ebpf, "inspect_connection", &[conn.key])? == answers::SETTLED {
                settled.insert(conn.key, conn.exchanges);
            }
        }
        self.settled = settled;
        Ok(())
    }

    fn missing(&mut self, ebpf: &mut Ebpf, now_ns: u64) -> Result<()> {
        let due: Vec<_> = self
            .attempts
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, seen)| {
                seen.state == attempt_state::WAITING
                    && age(now_ns, seen.first_ns) >= Limits::nearly(timeout(seen, &self.limits))
            })
            .collect();
        let connected = due.iter().any(|(_, seen)| seen.kind == attempt::DATA);
        let open = if connected { self.connections.all(ebpf)? } else { Vec::new() };
        for (tuple, seen) in due {
            let same = |conn: &&Conn| seen.kind == attempt::DATA && is_of(&seen, &tuple, &conn.tuple);
            // 0: there is no such connection, or none any more.
            let key = open.iter().find(same).map_or(0, |conn| conn.key);
            let mut arguments = words(&tuple).to_vec();
            arguments.extend([key, seen.first_ns]);
            let told = run(ebpf, "inspect_attempt", &arguments)? == answers::REPORTED;
            debug!("an attempt from port {} is over, told: {told}", tuple.peer_port);
        }
        Ok(())
    }
}

/// Runs the program once on key 0, which no connection has, to see whether the reduced privileges suffice.
pub(super) fn use_once(ebpf: &mut Ebpf) -> Result<()> {
    run(ebpf, "inspect_connection", &[0]).map(|_settled| ())
}

/// The edge's limits as the kernel programs want them, on a kernel whose jiffies last `tick_ns` nanoseconds.
#[must_use]
pub fn kernel_config(limits: &Limits, tick_ns: u64) -> Config {
    let jiffies = |timeout| jiffies(Limits::nearly(timeout), tick_ns);
    Config {
        read_jiffies: jiffies(limits.read),
        write_jiffies: jiffies(limits.write),
        header_limit: u32::try_from(limits.header).unwrap_or(u32::MAX),
        // Its clock may have begun before the first of them went missing.
        missing_ms: u32::try_from(Limits::most_of(limits.ack.min(limits.read)).as_millis()).unwrap_or(u32::MAX),
        second_jiffies: self::jiffies(Duration::from_secs(1), tick_ns),
    }
}

/// A time in jiffies, rounded up: what the kernel takes for too long must be so for the verdict, too.
fn jiffies(time: Duration, tick_ns: u64) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(tick_ns.into())).unwrap_or(u32::MAX / 2).min(u32::MAX / 2)
}

/// How long the edge waits for packets that went missing: it has no reason to wait longer for an answer than for the
/// acknowledgement of its request.
fn timeout(seen: &Attempt, limits: &Limits) -> Duration {
    if seen.kind == attempt::DATA { limits.ack.min(limits.read) } else { limits.connect }
}

/// Whether what went missing under these addresses is of that connection. On the way to a container or back it went
/// missing in the host's namespace, and the connection is in the container's.
fn is_of(seen: &Attempt, addresses: &Tuple, connection: &Tuple) -> bool {
    let netns = if seen.hook == hook::FORWARD { connection.netns } else { addresses.netns };
    *connection == Tuple { netns, ..*addresses }
}

fn of_port(conn: &Conn, netns: u32, port: u16) -> bool {
    (conn.tuple.netns, conn.tuple.local_port) == (netns, port)
}

fn age(now_ns: u64, then_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(then_ns))
}

/// A connection's addresses as the kernel program takes them.
fn words(tuple: &Tuple) -> [u64; 5] {
    zerocopy::transmute!(*tuple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_nobody_acknowledges_is_not_waited_for_longer_than_an_answer() {
        let limits = Limits { read: Duration::from_secs(2), ..Limits::default() };
        let seen = |kind| Attempt { kind, ..Attempt::default() };
        assert_eq!(timeout(&seen(attempt::SYN), &limits), limits.connect);
        assert_eq!(timeout(&seen(attempt::DATA), &limits), limits.read);
        assert_eq!(timeout(&seen(attempt::DATA), &Limits::default()), Limits::default().ack);
    }

    #[test]
    fn a_packet_on_its_way_to_a_container_is_of_a_connection_in_another_namespace() {
        let of = |hook, netns| {
            let addresses = Tuple { local_port: 80, netns: 1, ..Tuple::default() };
            is_of(&Attempt { hook, ..Attempt::default() }, &addresses, &Tuple { netns, ..addresses })
        };
        assert!(of(hook::INPUT, 1) && of(hook::FORWARD, 2));
        assert!(!of(hook::INPUT, 2) && !of(hook::BEFORE_ROUTING, 2));
    }

    #[test]
    fn what_is_late_for_the_kernel_is_late_for_the_verdict() {
        for millis in 1..5000 {
            let nearly = Limits::nearly(Duration::from_millis(millis));
            for tick_ns in [1_000_000, 3_333_333, 4_000_000, 10_000_000] {
                let late = Duration::from_nanos(u64::from(jiffies(nearly, tick_ns)) * tick_ns);
                assert!(late >= nearly && late < nearly + Duration::from_nanos(tick_ns), "{millis} ms, {tick_ns} ns");
            }
        }
    }

    #[test]
    fn addresses_keep_their_bytes_on_the_way_to_the_kernel() {
        let tuple = Tuple { peer_addr: [1; 16], local_port: 80, netns: 7, ..Tuple::default() };
        let words = words(&tuple);
        assert_eq!(words[0], u64::from_ne_bytes([1; 8]));
        assert_eq!(words[4] >> 32, 7);
    }
}
