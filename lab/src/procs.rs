//! What `/proc` says about processes: parents, names, network namespaces. Reads only, and signals to what the lab owns.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Every process id on the host.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The name of the process (`comm` of its main thread), `None` once it is gone.
#[must_use]
pub fn comm(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

/// State letter and parent, from `/proc/PID/stat`; the name in it may hold spaces and parentheses.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// Whether the process runs (a zombie does not).
#[must_use]
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The running children of a process, oldest id first.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = all()
        .into_iter()
        .filter(|&pid| stat(pid).is_some_and(|(state, of)| of == parent && !matches!(state, 'Z' | 'X')))
        .collect();
    found.sort_unstable();
    found
}

/// Sends a signal; `false` if the process is gone already.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    kill_process(pid, signal).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_parent_knows_it() {
        let me = std::process::id();
        assert!(alive(me));
        assert!(comm(me).is_some());
        let (_, parent) = stat(me).unwrap();
        assert!(children(parent).contains(&me));
    }

    #[test]
    fn a_pid_that_cannot_exist_is_neither_alive_nor_signalled() {
        assert!(!alive(u32::MAX));
        assert!(!signal(u32::MAX, Signal::TERM));
    }
}
