//! Processes and times as records and sentences write them.

use std::time::Duration;

use super::Process;

/// `nginx[4711]`; only the name where the number is not known.
pub(super) fn named(process: &Process) -> String {
    if process.pid == 0 { process.name.clone() } else { format!("{}[{}]", process.name, process.pid) }
}

/// `1 packet`, `2 packets`, `3 processes`.
pub(super) fn many(count: u32, what: &str) -> String {
    match (count, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        (_, false) => format!("{count} {what}s"),
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// `12 ms`, `5.0 s`, `3.2 min`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.0),
    }
}
