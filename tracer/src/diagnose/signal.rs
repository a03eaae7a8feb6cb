//! Names of signals, and which of them a process raises by its own fault.

/// Names of 1 to 31 on x86-64 and arm64.
const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// `SIGKILL` for 9; real-time signals by number.
pub(super) fn name(number: u8) -> String {
    match NAMES.get(usize::from(number)) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => format!("signal {number}"),
    }
}

/// Whether the signal means a fault or an abort of the process itself, unless somebody else sent it:
/// QUIT is not among them, ILL, TRAP, ABRT, BUS, FPE, SEGV, PIPE, XCPU, XFSZ and SYS are.
pub(super) const fn is_fault(number: u8) -> bool {
    matches!(number, 4..=8 | 11 | 13 | 24 | 25 | 31)
}

pub(super) const SIGTERM: u8 = 15;
