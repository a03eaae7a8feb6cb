//! What surrounded the failure: a process that does not run, a full disk, a queue that nobody empties.

use crate::diagnose::{Descriptors, Evidence, FullDisk, Halt, Halted, Lack, units::span};

/// The process does not run.
pub(super) fn let_run(Halted { pid, halt, .. }: Halted, who: &str) -> String {
    match halt {
        Halt::Stopped => format!(
            "{who} is stopped: find out who sent it SIGSTOP (a shell's Ctrl-Z, a backup, a snapshot), and let it go on \
             with `kill -CONT {pid}`."
        ),
        Halt::Traced => format!(
            "a debugger holds {who}: let go of it (`grep TracerPid /proc/{pid}/status` says which process it is)."
        ),
        Halt::Frozen => format!(
            "the control group of {who} is frozen: thaw it (`docker unpause`, `systemctl thaw`, 0 into its \
             cgroup.freeze), and find out who froze it."
        ),
        Halt::Uninterruptible => format!(
            "{who} waits in the kernel, mostly for a disk, a network file system or memory that is swapped: look at \
             /proc/{pid}/stack, at `dmesg`, and at what these answer with."
        ),
    }
}

/// A file system is full that the process writes to.
pub(super) fn make_room(FullDisk { mount, lack, .. }: &FullDisk, usual: &str) -> String {
    let how = match lack {
        Lack::Space { .. } => format!("old logs, caches, temporary files: `du -xh {mount} | sort -h`"),
        Lack::Inodes(_) => format!("many small files, such as sessions and caches: `df -i {mount}`"),
    };
    format!(
        "{mount} is full: make room there first ({how}), since a server that can't buffer a request or a response \
         breaks off. If it goes on, {usual}"
    )
}

/// Nobody took the connection out of its accept queue.
pub(super) fn unaccepted(e: &Evidence, who: &str) -> String {
    let waited = span(e.waited);
    out_of_descriptors(e, who).unwrap_or_else(|| format!(
        "{who} accepted no connection for {waited}: all its workers are busy, or each holds an idle connection. Run \
         more workers or threads, shorten keep-alive where a worker can hold one connection only, and find what the \
         workers wait for; a longer backlog alone makes the edge wait longer."
    ))
}

/// A process without a descriptor left accepts nothing.
pub(super) fn out_of_descriptors(e: &Evidence, who: &str) -> Option<String> {
    let Descriptors { open, limit } = e.around.descriptors.filter(|descriptors| descriptors.are_few())?;
    Some(format!(
        "{who} has {open} of at most {limit} descriptors open, and without one it accepts nothing: raise the limit \
         (LimitNOFILE of the unit, nginx worker_rlimit_nofile), or find what leaks them."
    ))
}
