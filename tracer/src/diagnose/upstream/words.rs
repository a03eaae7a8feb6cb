//! What happened on a connection behind, in words: one short sentence per observation, in their order.

use super::{
    super::{
        End, OomScope, Sender, Signal, signal,
        units::{named, span},
    },
    seen::{Connect, Hangup, Upstream},
};

/// What happened on one connection.
pub(in crate::diagnose) fn connection(upstream: &Upstream, owner: &str) -> Vec<String> {
    let (address, who) = (&upstream.address, server(upstream));
    let mut lines = Vec::new();
    match upstream.connect {
        Connect::Refused => return vec![format!("{owner} connected to {address}, and the connection was refused")],
        Connect::Unreachable(number) => {
            return vec![format!("{owner} connected to {address}: {}", unreachable(number))];
        }
        Connect::Unanswered => return vec![format!("{owner} connected to {address}, and nobody took the connection")],
        Connect::Established => {}
    }
    let reused = if upstream.reused { ", kept open from an earlier request," } else { "" };
    lines.push(format!("{owner} sent {} bytes on its connection to {address}{reused}", upstream.sent));
    if let Some(process) = &upstream.process {
        lines.push(format!("{} served it", named(process)));
    }
    lines.extend(end(upstream, &who));
    lines.push(match (upstream.received, upstream.answer.and_then(|answer| answer.status)) {
        (0, _) => "not a byte of an answer came".to_owned(),
        (bytes, Some(status)) => format!("{bytes} bytes of an answer came, with status {status}"),
        (bytes, None) => format!("{bytes} bytes of an answer came"),
    });
    lines.push(match upstream.hangup {
        Hangup::Closed => format!("{who} closed the connection"),
        Hangup::Reset => format!("{who} reset the connection"),
        Hangup::Owner => match upstream.waited {
            Some(waited) => format!("{owner} closed the connection {} after it had begun to send", span(waited)),
            None => format!("{owner} closed the connection"),
        },
        Hangup::Nobody => "the connection was still open".to_owned(),
    });
    lines
}

fn server(upstream: &Upstream) -> String {
    upstream.process.as_ref().map_or_else(|| "the upstream".to_owned(), named)
}

fn end(upstream: &Upstream, who: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if upstream.oom {
        let scope = match upstream.oom_scope {
            Some(OomScope::Memcg) => " at its control group's memory limit",
            Some(OomScope::Global) => " because the host ran out of memory",
            None => "",
        };
        lines.push(format!("the OOM killer chose {who}{scope}"));
        return lines;
    }
    lines.extend(match upstream.end {
        End::Running => None,
        End::Exited(code) | End::ExitedAfter(code) => Some(format!("{who} exited with status {code}")),
        End::Signaled(number) => Some(format!("{who} died of {}", signal::name(number))),
    });
    if upstream.end != End::Running {
        lines.extend(upstream.signal.as_ref().map(sent));
    }
    lines
}

/// Who sent the signal.
fn sent(seen: &Signal) -> String {
    let name = signal::name(seen.number);
    match &seen.sender {
        Sender::Own => format!("it raised {name} itself"),
        Sender::Kernel => format!("the kernel raised {name}: a fault of its own, or a limit"),
        Sender::Master { pid, name: master } => format!("{name} came from its master {master}[{pid}]"),
        Sender::OrderedMaster { pid, name: master, by, .. } => {
            format!("{name} came from its master {master}[{pid}], which {by} had told to stop")
        }
        Sender::MasterTold { pid, name: master, by } => format!("its master {master}[{pid}] had got {name} from {by}"),
        Sender::Other { pid, name: sender } => format!("{name} came from {sender}[{pid}]"),
    }
}

/// Error numbers of a way that is not there, in words.
fn unreachable(number: u32) -> String {
    match number {
        101 => "there is no route to that network".to_owned(),
        110 => "it timed out".to_owned(),
        113 => "there is no route to that host".to_owned(),
        number => format!("error {number}"),
    }
}
