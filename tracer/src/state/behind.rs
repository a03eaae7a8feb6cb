//! What lies behind a connection that failed: its record comes before that of the connection, and waits for it.

use std::collections::VecDeque;

use tracer_common::{BehindRecord, Conn};

use super::deaths::Server;
use crate::diagnose::{
    End,
    upstream::{Behind, Hangup},
};

/// Records that wait for that of their connection. They come in pairs, from each CPU.
const MAX_WAITING: usize = 64;

/// Records that wait, the oldest first.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Box<BehindRecord>>);

impl Waiting {
    pub(super) fn keep(&mut self, record: &BehindRecord) {
        self.0.retain(|waiting| waiting.conn != record.conn);
        if self.0.len() >= MAX_WAITING {
            self.0.pop_front();
        }
        self.0.push_back(Box::new(*record));
    }

    /// The one that came with the record of this connection.
    pub(super) fn take(&mut self, conn: &Conn) -> Option<Box<BehindRecord>> {
        let at = self.0.iter().position(|record| (record.conn, record.opened_ns) == (conn.key, conn.opened_ns))?;
        self.0.remove(at)
    }
}

/// The process of an upstream that hung up, where it may be ending.
pub(super) fn server(behind: &Behind, record: &BehindRecord) -> Option<Server> {
    let (upstream, task) = (&behind.upstream, &record.upstream.server);
    let hung_up = matches!(upstream.hangup, Hangup::Closed | Hangup::Reset);
    let may_be_ending = hung_up && upstream.end == End::Running && task.tgid != 0;
    may_be_ending.then_some(Server { process: (task.tgid, task.start_ns), turns: record.upstream.server_turns })
}

#[cfg(test)]
mod tests;
