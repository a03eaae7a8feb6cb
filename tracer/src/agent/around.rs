//! What the agent reads beside a record: what the host looks like as a failure is told.

use std::net::SocketAddr;

use tracer_common::{pf, taken, triggers};

use super::Agent;
use crate::{decode::Event, diagnose::Around};

impl Agent {
    /// What the host looks like as this failure is told, where a living process held the connection or should have
    /// accepted it.
    pub(super) fn around(&mut self, event: &Event, now_ns: u64) -> Around {
        match event {
            Event::Conn(record) => {
                let conn = &record.conn;
                // What an ending process had is gone.
                if conn.closer.flags & pf::EXITING != 0 {
                    return Around::default();
                }
                let owner = match conn.owner {
                    0 => (conn.closer.tgid, conn.closer.start_ns),
                    owner => (owner, conn.owner_start_ns),
                };
                let mut around = self.surroundings.of(owner, now_ns);
                let waits = matches!(record.trigger, triggers::OVERDUE | triggers::EDGE_FIN | triggers::EDGE_RST);
                if waits && conn.turns == 0 && around.halted.is_none() {
                    around.halted = self.surroundings.halted_workers(conn.owner, now_ns);
                }
                if waits && conn.close.accepted == 0 && conn.turns == 0 {
                    let tuple = &conn.tuple;
                    let (kernel, sweep) = (&mut self.kernel, &self.sweep);
                    let held = || kernel.held(sweep, tuple.netns, tuple.local_port);
                    (around.queue, around.held) = self.surroundings.queue(conn.owner, tuple, now_ns, held);
                }
                around
            }
            Event::Attempt(record) if matches!(record.attempt.cause, taken::QUEUE | taken::QUEUE_RESET) => {
                self.surroundings.of((record.listener_pid, record.listener.start_ns), now_ns)
            }
            _ => Around::default(),
        }
    }

    /// Where the edge had connected to, if NAT led the connection elsewhere. Of a refused one the kernel has forgotten
    /// it with its RST.
    pub(super) fn published(&mut self, event: &Event, now_ns: u64) -> Option<SocketAddr> {
        let tuple = match event {
            Event::Conn(record) => &record.conn.tuple,
            Event::Attempt(record) => &record.tuple,
            Event::AttemptConn(record) => &record.conn.tuple,
            Event::Refused(_)
            | Event::Process(_)
            | Event::Oom(_)
            | Event::Listen(_)
            | Event::Origin(_)
            | Event::Answer(_)
            | Event::Behind(_) => return None,
        };
        self.conntrack.as_mut()?.dialled(tuple, now_ns)
    }
}
