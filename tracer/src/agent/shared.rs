//! What a scrape reads while the agent runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use log::warn;

use crate::{
    counts::{Snapshot, TlsCounters, TlsFile},
    edge::EdgeRanges,
    probes::Counters,
};

/// The ranges in force, in numbers.
#[derive(Clone, Copy, Default)]
struct Ranges {
    ipv4: u64,
    ipv6: u64,
    date_s: Option<i64>,
}

/// How the last reading of the configuration went.
#[derive(Clone, Copy, Default)]
struct Reload {
    failed: bool,
    /// Of the last that did not fail.
    at_s: i64,
}

/// What the agent itself knows of sight inside TLS.
#[derive(Clone, Default)]
pub(super) struct TlsUse {
    pub(super) files: Vec<TlsFile>,
    pub(super) paused: bool,
    pub(super) opened: u64,
    pub(super) unopened: u64,
}

/// Counters that a scrape may read from another task.
pub struct Shared {
    counters: Counters,
    ranges: Mutex<Ranges>,
    reload: Mutex<Reload>,
    undecoded: AtomicU64,
    /// Answers of 5xx that were counted and not told: too many in a second.
    untold: AtomicU64,
    /// Answers of 5xx that were told without a cause, by status.
    unexplained: Mutex<BTreeMap<u16, u64>>,
    /// `None`: sight inside TLS is off.
    tls: Mutex<Option<TlsUse>>,
}

impl Shared {
    pub(super) fn new(counters: Counters, ranges: &EdgeRanges) -> Self {
        let shared = Self {
            counters,
            ranges: Mutex::default(),
            reload: Mutex::default(),
            undecoded: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            unexplained: Mutex::default(),
            tls: Mutex::default(),
        };
        shared.set_ranges(ranges);
        shared.reloaded(true);
        shared
    }

    /// Counts an answer of 5xx that was told without a cause.
    pub(super) fn count_unexplained(&self, status: u16) {
        let mut unexplained = self.unexplained.lock().unwrap_or_else(PoisonError::into_inner);
        *unexplained.entry(status).or_default() += 1;
    }

    /// Counts an answer of 5xx that was counted and not told.
    pub(super) fn count_untold(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a record that could not be read.
    pub(super) fn count_undecoded(&self) {
        self.undecoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes what is told of sight inside TLS, which is on.
    pub(super) fn tell_tls(&self, change: impl FnOnce(&mut TlsUse)) {
        change(self.tls.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default());
    }

    /// The servers' files with a TLS library, as far as they were looked at.
    pub(super) fn tls_files(&self) -> Vec<TlsFile> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or_else(Vec::new, |tls| tls.files.clone())
    }

    /// Hits of the probes in TLS libraries so far.
    pub(super) fn tls_hits(&self) -> u64 {
        self.counters.tls().map_or(0, |tls| tls.hits)
    }

    /// Processes that own edge connections: pid and start.
    pub(super) fn owners(&self) -> Vec<(u32, u64)> {
        self.counters.owners().map(|(pid, owner)| (pid, owner.start_ns)).collect()
    }

    /// Processes that listen, on whatever port: pid and start.
    pub(super) fn listeners(&self) -> Vec<(u32, u64)> {
        self.counters.listeners().map(|listener| (listener.pid, listener.process.start_ns)).collect()
    }

    /// Ports that are listened on, with the name of a process, each pair once.
    pub fn listening(&self) -> BTreeSet<(u16, String)> {
        self.counters.listening().collect()
    }

    /// All that is counted, now. A table that can't be read is logged and left out.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.counters.snapshot().unwrap_or_else(|error| {
            warn!("reading the kernel's counters: {error:#}");
            Snapshot::default()
        });
        let ranges = *self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.ranges_ipv4 = ranges.ipv4;
        snapshot.ranges_ipv6 = ranges.ipv6;
        snapshot.ranges_date_s = ranges.date_s;
        let reload = *self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        (snapshot.reload_failed, snapshot.reloaded_s) = (reload.failed, reload.at_s);
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        snapshot.tls = tls.map(|seen| TlsCounters {
            files: seen.files,
            paused: seen.paused,
            opened: seen.opened,
            unopened: seen.unopened,
            ..self.counters.tls().unwrap_or_default()
        });
        for (status, count) in self.unexplained.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            *snapshot.unexplained_origin_errors.entry(*status).or_default() += count;
        }
        snapshot.lost.push(("origin_errors", self.untold.load(Ordering::Relaxed)));
        snapshot.lost.push(("decode", self.undecoded.load(Ordering::Relaxed)));
        snapshot
    }

    /// Notes how a reading of the configuration went, the one at the start included.
    pub(super) fn reloaded(&self, successfully: bool) {
        let mut reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        reload.failed = !successfully;
        if successfully {
            reload.at_s = Timestamp::now().as_second();
        }
    }

    /// Exchanges seen and records lost so far.
    pub fn totals(&self) -> (u64, u64) {
        let undecoded = self.undecoded.load(Ordering::Relaxed);
        let untold = self.untold.load(Ordering::Relaxed);
        (self.counters.exchanges(), self.counters.lost() + undecoded + untold)
    }

    pub(super) fn set_ranges(&self, ranges: &EdgeRanges) {
        *self.ranges.lock().unwrap_or_else(PoisonError::into_inner) = Ranges {
            ipv4: ranges.count_ipv4() as u64,
            ipv6: ranges.count_ipv6() as u64,
            date_s: ranges.date().map(|date| date.as_second()),
        };
    }
}
