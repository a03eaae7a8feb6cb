//! From a record of the kernel to evidence: names for numbers, durations for clocks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tracer_common::{
    ConnRecord, LastSignal, ProcessRecord, RefusedRecord, Task, conn_flags as flag, pf, rst, sig_flags, triggers,
};

use super::{Clock, State};
use crate::{
    diagnose::{End, Evidence, Process, Protocol, Sender, Signal, Trigger},
    http::{Request, Response},
};

/// `sk_err` of a connection that a tool destroyed.
const ECONNABORTED: u32 = 103;

impl State {
    /// What the record of a connection says.
    pub(super) fn evidence(&self, record: &ConnRecord, clock: &Clock) -> Evidence {
        let (conn, close) = (&record.conn, &record.conn.close);
        let protocol = if conn.flags & flag::HTTP != 0 {
            Protocol::Http
        } else if conn.flags & flag::TLS != 0 {
            Protocol::Tls
        } else if conn.flags & flag::SNIFFED != 0 {
            Protocol::Other
        } else {
            Protocol::Opaque
        };
        let late = record.trigger == triggers::LATE;
        let request = Request::read(kept(&record.heads.request, conn.request_have)).unwrap_or_default();
        let response = if protocol == Protocol::Http && !late {
            Response::read(
                request.method.as_deref(),
                kept(&record.heads.response, conn.response_have),
                &conn.response_tail,
                close.response_bytes.into(),
                conn.response_len.into(),
            )
        } else {
            Response::default()
        };
        let destroyed = close.err == ECONNABORTED;
        let (end, signal) = end(&conn.closer, &record.signal, close.time_ns);
        let seeded = conn.flags & flag::SEEDED != 0;
        let jiffies = close.received_jiffies_ago.min(close.sent_jiffies_ago);
        let closed_for = Duration::from_nanos(record.header.time_ns.saturating_sub(close.time_ns));
        Evidence {
            time: clock.at(record.header.time_ns),
            trigger: match record.trigger {
                triggers::FIN => Trigger::Fin,
                triggers::LATE => Trigger::Late { bytes: conn.late_len },
                _ => Trigger::Rst,
            },
            peer: (addr(conn.tuple.peer_addr), conn.tuple.peer_port),
            local: (addr(conn.tuple.local_addr), conn.tuple.local_port),
            netns: Some(conn.tuple.netns).filter(|netns| *netns != 0),
            seeded,
            protocol,
            accepted: close.accepted != 0 || late || destroyed,
            exchanges: conn.exchanges.into(),
            turns: conn.turns.into(),
            age: (!seeded).then(|| Duration::from_nanos(record.header.time_ns.saturating_sub(conn.opened_ns))),
            idle: Some(Duration::from_nanos(u64::from(jiffies).saturating_mul(clock.tick_ns))),
            closed_for: late.then_some(closed_for),
            bytes_received: close.bytes_received,
            bytes_sent: close.bytes_sent,
            unread: close.unread,
            since_read: close.since_read,
            turn_out: conn.turn_out,
            bodyless: conn.flags & flag::BODYLESS != 0,
            request,
            response,
            process: self.owner(record, end),
            end: if destroyed { End::Running } else { end },
            oom: conn.closer.oom != 0 && !destroyed,
            oom_scope: self.scope(conn.closer.tgid),
            signal,
            reset_reason: reason(record.rst_reason, &self.rst_reasons),
            destroyed,
        }
    }

    /// The process that held the socket: the one that closed it, unless that was a mere helper of the owner.
    fn owner(&self, record: &ConnRecord, end: End) -> Option<Process> {
        let (conn, closer) = (&record.conn, &record.conn.closer);
        let destroyed = conn.close.err == ECONNABORTED;
        if closer.tgid != 0 && !destroyed && (end != End::Running || conn.owner == 0 || conn.owner == closer.tgid) {
            return Some(self.process(closer.tgid, closer.start_ns, name(&closer.comm)));
        }
        if conn.owner != 0 {
            return Some(self.process(conn.owner, conn.owner_start_ns, name(&conn.owner_comm)));
        }
        let (pid, comm) = self.seeded_owners.get(&conn.inode)?;
        Some(self.process(*pid, 0, comm.clone()))
    }

    fn process(&self, pid: u32, start_ns: u64, name: String) -> Process {
        let facts = self.processes.get((pid, start_ns)).cloned().unwrap_or_default();
        Process { name, pid, exe: facts.exe, unit: facts.unit, container: facts.container }
    }

    fn scope(&self, pid: u32) -> Option<crate::diagnose::OomScope> {
        self.oom_scopes.iter().rev().find(|(victim, _)| *victim == pid).map(|(_, scope)| *scope)
    }
}

/// Evidence of a refused SYN.
pub(super) fn refused(record: &RefusedRecord, reasons: &BTreeMap<u32, String>, clock: &Clock) -> Evidence {
    Evidence {
        time: clock.at(record.header.time_ns),
        trigger: Trigger::Refused,
        peer: (addr(record.tuple.peer_addr), record.tuple.peer_port),
        local: (addr(record.tuple.local_addr), record.tuple.local_port),
        netns: Some(record.tuple.netns).filter(|netns| *netns != 0),
        seeded: false,
        protocol: Protocol::Opaque,
        accepted: false,
        exchanges: 0,
        turns: 0,
        age: None,
        idle: None,
        closed_for: None,
        bytes_received: 0,
        bytes_sent: 0,
        unread: 0,
        since_read: 0,
        turn_out: 0,
        bodyless: false,
        request: Request::default(),
        response: Response::default(),
        process: None,
        end: End::Running,
        oom: false,
        oom_scope: None,
        signal: None,
        reset_reason: reason(record.rst_reason, reasons),
        destroyed: false,
    }
}

/// How a process ended, and which signal explains it.
pub(super) fn end_of(record: &ProcessRecord) -> (End, Option<Signal>) {
    // At sched_process_exit the flags of some kernels do not say so yet: the record is the end.
    let task = Task { flags: record.task.flags | pf::EXITING, ..record.task };
    end(&task, &record.signal, record.header.time_ns)
}

fn end(task: &Task, signal: &LastSignal, time_ns: u64) -> (End, Option<Signal>) {
    let [code, status, ..] = task.exit_code.to_le_bytes();
    let end = match code & 0x7f {
        _ if task.flags & pf::EXITING == 0 => End::Running,
        0 => End::Exited(status),
        number => End::Signaled(number),
    };
    (end, sent(signal, time_ns))
}

fn sent(signal: &LastSignal, time_ns: u64) -> Option<Signal> {
    let number = u8::try_from(signal.signal).ok().filter(|number| *number != 0)?;
    let (pid, name_of) = (signal.sender, name(&signal.sender_comm));
    let has = |bit| signal.flags & bit != 0;
    let by = format!("{}[{}]", name(&signal.orderer_comm), signal.orderer);
    let with = u8::try_from(signal.order).unwrap_or(0);
    let sender = if has(sig_flags::PASSED_ON) {
        Sender::MasterTold { pid, name: name_of, by }
    } else if has(sig_flags::SELF) && !has(sig_flags::KERNEL) {
        Sender::Own
    } else if has(sig_flags::KERNEL) {
        Sender::Kernel
    } else if has(sig_flags::MASTER) && has(sig_flags::ORDERED) {
        Sender::OrderedMaster { pid, name: name_of, by, with }
    } else if has(sig_flags::MASTER) {
        Sender::Master { pid, name: name_of }
    } else {
        Sender::Other { pid, name: name_of }
    };
    Some(Signal { number, sender, before: Duration::from_nanos(time_ns.saturating_sub(signal.time_ns)) })
}

fn kept(head: &[u8], have: u32) -> &[u8] {
    &head[..head.len().min(have as usize)]
}

fn reason(reason: u32, names: &BTreeMap<u32, String>) -> Option<String> {
    if reason == rst::UNKNOWN { None } else { names.get(&reason).cloned() }
}

/// A task's name, as text.
pub(super) fn name(comm: &[u8]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

fn addr(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}
