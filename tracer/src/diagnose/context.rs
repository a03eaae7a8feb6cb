//! What the host looked like when a request failed, in words: as far as it may explain the failure.

use std::net::SocketAddr;

use super::{
    Descriptors, Evidence, FullDisk, Halt, Halted, Held, Lack, Queue, Symptom, Writes,
    lost::Loss,
    settings::head_limit,
    units::{many, named},
};

/// Pressure on memory: from this share of the time on, in per cent, tasks are slowed down by it.
const MUCH_PRESSURE: u8 = 20;

/// No process has taken the connection out of its accept queue. One that has read from it had taken it.
pub(super) const fn is_unaccepted(e: &Evidence) -> bool {
    !e.accepted && e.turns == 0
}

/// What the edge had dialled, where that is not what the socket has.
pub(super) fn published(e: &Evidence) -> Option<String> {
    let (dialled, (addr, port)) = (e.around.published?, e.local);
    let local = SocketAddr::new(addr, port);
    Some(format!("the edge had connected to {dialled}, which NAT on this host translates to {local}"))
}

/// What of it may explain the failure.
pub(super) fn around(e: &Evidence, loss: Loss) -> Vec<String> {
    let mut lines = Vec::new();
    if is_unaccepted(e) {
        lines.extend(e.around.queue.map(|queue| waiting(queue, e.local.1)));
        lines.extend(e.around.held.map(|held| taken(held, e.local.1)));
    }
    if matches!(loss, Loss::Refused) {
        return lines;
    }
    if let Some(bytes) = e.request_head.filter(|bytes| *bytes > head_limit(e.process.as_ref()).0) {
        lines.push(format!("the request's header section is large: {bytes} bytes of it came"));
    }
    lines.extend(halted(e, loss).map(|halted| at_rest(e, halted)));
    let who = e.process.as_ref().map_or_else(|| "the process".to_owned(), named);
    if let Some(Descriptors { open, limit }) = e.around.descriptors.filter(|descriptors| descriptors.are_few()) {
        lines.push(format!("{who} has {open} of at most {limit} descriptors open"));
    }
    if let Some(share) = e.around.memory_pressure.filter(|share| *share >= MUCH_PRESSURE) {
        lines.push(format!("memory is short: in {share} % of the last ten seconds some task waited for it"));
    }
    lines.extend(full_disk(e, loss).map(|disk| ran_out(disk, &who)));
    lines
}

/// The full file system that the process writes to, where it was to answer or to read.
pub(super) fn full_disk(e: &Evidence, loss: Loss) -> Option<&FullDisk> {
    let had_work = matches!(
        loss,
        Loss::Unanswered
            | Loss::Head
            | Loss::Body
            | Loss::Malformed
            | Loss::Waited
            | Loss::StalledHead
            | Loss::StalledBody
            | Loss::NotRead
    );
    e.around.full_disk.as_ref().filter(|_| had_work)
}

fn ran_out(FullDisk { mount, lack, by }: &FullDisk, who: &str) -> String {
    let writes = match by {
        Writes::File => format!("{who} has a file open for writing on {mount}"),
        Writes::Folder => format!("{who} has its working directory on {mount}"),
        Writes::Temporary(folder) => format!("{who} may keep temporary files in {folder}, on {mount}"),
    };
    let left = match lack {
        Lack::Space { left, total } => format!("{} of {} KiB are left", left / 1024, total / 1024),
        Lack::Inodes(count) => format!("none of its {count} inodes is left"),
    };
    format!("{writes}, a file system that is full: {left}")
}

/// The process that does not run, where the edge waited in vain.
pub(super) fn halted(e: &Evidence, loss: Loss) -> Option<Halted> {
    let in_vain = match loss {
        Loss::Waited | Loss::StalledHead | Loss::StalledBody | Loss::NotRead => true,
        Loss::Handshake(broken) => broken.symptom == Symptom::TlsNoAnswer,
        _ => false,
    };
    e.around.halted.filter(|_| in_vain)
}

/// Names it, and says why it does not run.
fn at_rest(e: &Evidence, Halted { pid, halt, others }: Halted) -> String {
    let why = match halt {
        Halt::Stopped => "is stopped by a signal (SIGSTOP; state T)",
        Halt::Traced => "is held by a debugger (state t)",
        Halt::Frozen => "is frozen with its control group",
        Halt::Uninterruptible => "is in uninterruptible sleep (state D): it waits in the kernel",
    };
    let who = match &e.process {
        Some(process) if process.pid == pid => named(process),
        Some(process) => format!("process {pid}, a child of {},", named(process)),
        None => format!("process {pid}"),
    };
    let others = if others > 0 { format!(", and so {} more of them", are(others)) } else { String::new() };
    format!("{who} does not run: it {why}{others}")
}

fn are(count: u32) -> String {
    if count == 1 { "is 1".to_owned() } else { format!("are {count}") }
}

fn waiting(queue: Queue, port: u16) -> String {
    let limit = queue.limit.map_or_else(String::new, |limit| format!(" of at most {limit}"));
    let queues =
        if queue.sockets > 1 { format!("the {} accept queues", queue.sockets) } else { "the accept queue".into() };
    let connections = if limit.is_empty() { many(queue.waiting, "connection") } else { queue.waiting.to_string() };
    let of = if limit.is_empty() { "" } else { " connections" };
    let verb = if queue.waiting == 1 { "waits" } else { "wait" };
    format!("{connections}{limit}{of} {verb} in {queues} of port {port}")
}

fn taken(held: Held, port: u16) -> String {
    if held.connections == 0 {
        return format!("no process holds another connection of port {port}");
    }
    let awaited = match held.awaited {
        Some(0) => ", and none of these waits for an answer".to_owned(),
        Some(awaited) => format!(", and {awaited} of these wait for an answer"),
        None => String::new(),
    };
    format!(
        "{} of port {port} had been accepted and read by {}{awaited}",
        many(held.connections, "connection"),
        many(held.processes, "process")
    )
}
