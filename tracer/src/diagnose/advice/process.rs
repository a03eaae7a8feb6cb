//! Processes that ended.

use crate::diagnose::{
    Cause, End, Evidence, OomScope, Process, Sender,
    signal::{self, SIGTERM},
    units::span,
};

/// The process ended by itself.
pub(super) fn ended(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::ProcessExit {
        return format!(
            "{who} exited with a request in hand: look at its log for an uncaught exception, a fatal error or a call \
             of exit in a handler."
        );
    }
    let number = match e.end {
        End::Signaled(number) => signal::name(number),
        _ => "a fault".to_owned(),
    };
    format!(
        "{who} died of {number}: look at its core dump (coredumpctl) and its last log lines; the request above is what \
         it was working on."
    )
}

pub(super) fn oom(e: &Evidence, who: &str) -> String {
    let group = e.process.as_ref().and_then(unit_or_container);
    match (e.oom_scope, group) {
        (Some(OomScope::Memcg), Some(group)) => {
            format!(
                "{who} reached the memory limit of {group}: raise that limit, or lower what {who} uses (workers, \
                 caches, per-request memory)."
            )
        }
        (Some(OomScope::Global), _) => {
            format!(
                "the host ran out of memory and {who} was chosen: find what uses it (ps --sort=-rss), add memory or \
                 limit the largest consumer."
            )
        }
        _ => format!(
            "{who} ran out of memory: raise its memory limit, or lower what it uses (workers, caches, per-request \
             memory)."
        ),
    }
}

fn unit_or_container(process: &Process) -> Option<&str> {
    process.container.as_deref().or(process.unit.as_deref())
}

pub(super) fn supervisor(e: &Evidence, who: &str) -> String {
    let master = match e.signal.as_ref().map(|signal| &signal.sender) {
        Some(Sender::Master { pid, name }) => format!("{name}[{pid}]"),
        _ => "its master".to_owned(),
    };
    let age = if e.bytes_received > 0 {
        format!(" {} after the last byte of the request", span(e.waited))
    } else {
        String::new()
    };
    format!(
        "{master} ended its worker {who}{age}: a worker timeout (gunicorn `--timeout`, uWSGI `harakiri`, php-fpm \
         `request_terminate_timeout`, Unicorn `timeout`); find out what the request waits for, or raise the limit."
    )
}

pub(super) fn killed(e: &Evidence, who: &str) -> String {
    let sender = match e.signal.as_ref().map(|signal| &signal.sender) {
        Some(Sender::Other { pid, name }) => format!("{name}[{pid}]"),
        Some(Sender::OrderedMaster { by, .. } | Sender::MasterTold { by, .. }) => by.clone(),
        _ => "somebody".to_owned(),
    };
    let graceful = match e.end {
        End::Signaled(number) if number != SIGTERM => {
            "stop it gracefully instead (nginx -s quit, SIGTERM and time to drain)"
        }
        _ => "let it drain before it stops (nginx -s quit, graceful timeout, a deploy that waits)",
    };
    format!("{sender} ended {who} with requests in hand: {graceful}.")
}
