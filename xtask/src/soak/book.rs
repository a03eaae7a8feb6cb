//! The driver's own record: each exchange that it made and what it saw, each connection that it opened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::edge::Seen;
use super::scenario::Scenario;
use super::server::Server;

/// What tracer has to make of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// Silence.
    Nothing,
    /// One failure, as the scenario says.
    Failure(&'static Scenario),
    /// The edge did not see what was to be staged: whatever tracer says is not judged.
    Unstaged(&'static str),
}

/// Whether the origin sees a request: counted as an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrives {
    Yes,
    No,
    /// It depends on the moment.
    Perhaps,
}

/// One exchange, or one attempt at a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) server: &'static Server,
    pub(super) ray: u64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seen: Seen,
    pub(super) took: Duration,
    pub(super) expect: Expect,
    pub(super) arrives: Arrives,
}

/// Connections by local port and family (`true`: IPv6).
pub(super) type Connections = BTreeMap<(u16, bool), u64>;

/// The record, written by all threads.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    entries: Vec<Entry>,
    connections: Connections,
    failures: usize,
}

impl Book {
    pub(super) fn connected(&self, to: SocketAddr) {
        *self.pages().connections.entry((to.port(), to.is_ipv6())).or_default() += 1;
    }

    pub(super) fn note(&self, entry: Entry) {
        let mut pages = self.pages();
        pages.failures += usize::from(matches!(entry.expect, Expect::Failure(_)));
        pages.entries.push(entry);
    }

    /// Exchanges made, and failures among them.
    pub(super) fn counts(&self) -> (usize, usize) {
        let pages = self.pages();
        (pages.entries.len(), pages.failures)
    }

    /// Closes the book.
    pub(super) fn finish(self) -> (Vec<Entry>, Connections) {
        let pages = self.pages.into_inner().unwrap_or_else(PoisonError::into_inner);
        (pages.entries, pages.connections)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
