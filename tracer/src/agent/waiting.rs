//! Records of failures inside TLS whose secrets may be about to come by a key log: a server may write a line of it a
//! moment after it has used the secret. They wait for that, for a second at most.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tracer_common::Conn;

use super::opener::Opener;
use crate::{decode::Event, diagnose::Around, tls::Session};

/// How long a record waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same once its process has ended: that end must not be told too late for those that do not wait.
const SHORT: Duration = Duration::from_millis(20);
/// How often it is asked whether the secrets have come.
const STEP: Duration = Duration::from_millis(5);
/// Records that wait at once: 4.5 KB each. Beyond that the oldest waits no longer.
const MOST: usize = 256;

/// A record, and what the host looked like as it came.
pub(super) struct Item {
    pub(super) event: Event,
    pub(super) around: Around,
    pub(super) session: Option<Session>,
}

/// Those that wait, in the order in which they came.
pub(super) struct Waiting {
    items: VecDeque<(Item, Instant)>,
    looked: Instant,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new(), looked: Instant::now() }
    }

    /// Takes a record in if it has to wait; else gives it back. A full house gives the oldest one.
    pub(super) fn take(&mut self, item: Item, opener: &Opener, now: Instant) -> Option<Item> {
        let Some(until) = self.until(&item, opener, now) else { return Some(item) };
        opener.hurry();
        self.items.push_back((item, until));
        if self.items.len() > MOST { self.items.pop_front().map(|(oldest, _)| oldest) } else { None }
    }

    /// Until when a record waits. `None`: it does not.
    fn until(&mut self, item: &Item, opener: &Opener, now: Instant) -> Option<Instant> {
        match &item.event {
            Event::Conn(record) => {
                // What comes of a connection of which something waits comes behind that.
                let before = self.items.iter().rfind(|(before, _)| before.is_of(&record.conn));
                let awaits = || item.awaits(opener, &record.conn, record.header.time_ns);
                before.map(|(_, until)| *until).or_else(|| awaits().then(|| now + PATIENCE))
            }
            // The verdict on a failure is known to wait for the end of its process, not the other way round.
            Event::Process(record) => {
                let soon = now + SHORT;
                let of_it = self.items.iter_mut().filter(|(item, _)| item.involves(record.task.tgid));
                of_it.map(|(_, until)| *until = soon.min(*until)).count().ne(&0).then_some(soon)
            }
            Event::Answer(record) => item.awaits(opener, &record.conn, record.header.time_ns).then(|| now + PATIENCE),
            _ => None,
        }
    }

    /// When to ask for those that need wait no longer. `None`: none waits.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.items.is_empty()).then(|| self.looked + STEP)
    }

    /// Those that need wait no longer.
    pub(super) fn ready(&mut self, opener: &Opener, now: Instant) -> Vec<Item> {
        self.looked = now;
        let is_ready = |(item, until): &(Item, Instant)| {
            *until <= now || item.session.as_ref().is_some_and(|session| opener.is_logged(session))
        };
        let (ready, rest) = std::mem::take(&mut self.items).into_iter().partition::<VecDeque<_>, _>(is_ready);
        self.items = rest;
        ready.into_iter().map(|(item, _)| item).collect()
    }

    /// All of them.
    pub(super) fn all(&mut self) -> Vec<Item> {
        self.items.drain(..).map(|(item, _)| item).collect()
    }
}

impl Item {
    fn awaits(&self, opener: &Opener, conn: &Conn, time_ns: u64) -> bool {
        self.session.as_ref().is_some_and(|session| opener.awaits(conn, time_ns, session))
    }

    fn is_of(&self, conn: &Conn) -> bool {
        matches!(&self.event, Event::Conn(record)
            if (record.conn.key, record.conn.opened_ns) == (conn.key, conn.opened_ns))
    }

    fn involves(&self, pid: u32) -> bool {
        matches!(&self.event, Event::Conn(record) if [record.conn.owner, record.conn.closer.tgid].contains(&pid))
    }
}
