//! Why a host can't be traced, in words that name the mend.

use std::io;

use log::debug;

/// Why this host can't be traced, and how to mend it.
#[derive(Debug)]
pub struct LoadError(pub String);

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// The first line of an error and, where it is the verifier's, what the verifier disliked: its whole account of a
/// program runs to thousands of lines.
pub(super) fn brief(error: &str) -> String {
    let (head, log) = error.split_once(". Verifier output:").unwrap_or((error, ""));
    let objection = log.lines().map(str::trim).rfind(|line| {
        let chatter = ["verification time", "stack depth", "processed ", ":"];
        !line.is_empty() && !chatter.iter().any(|start| line.starts_with(start))
    });
    objection.map_or_else(|| head.to_owned(), |objection| format!("{head}: {objection}"))
}

/// Turns a loading error into one that names the mend.
pub(super) fn untraceable(error: &(dyn std::error::Error + 'static)) -> anyhow::Error {
    let mut text = error.to_string();
    let mut denied = false;
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            denied |= matches!(io.kind(), io::ErrorKind::PermissionDenied);
        }
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = cause.source();
    }
    let mend = if denied && !rustix::process::geteuid().is_root() {
        ": run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    } else if denied {
        ": the kernel refuses BPF even to root: lockdown, a container without CAP_BPF and CAP_PERFMON, or a seccomp \
         filter"
    } else {
        ""
    };
    debug!("{text}");
    LoadError(format!("{}{mend}", brief(&text))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_objection_is_kept_and_its_account_is_not() {
        let error = "loading x: the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: \
                     0: R1\n5: (85) call f\n    R4 min value is negative\n    verification time 3 usec\n    processed \
                     9 insns\n    : denied";
        let expected =
            "loading x: the BPF_PROG_LOAD syscall returned Permission denied (os error 13): R4 min value is negative";
        assert_eq!(brief(error), expected);
        assert_eq!(brief("no such thing"), "no such thing");
    }
}
