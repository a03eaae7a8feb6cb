//! Memory and the pressure on memory, disks and processors, of the whole host.

use super::finding::Finding;
use super::number::{bytes, keyed, percent};

/// Memory that is left, from `/proc/meminfo`.
pub(super) fn memory(meminfo: &str) -> Finding {
    let name = "memory";
    let kib = |key| keyed(meminfo, key).map(|kib| kib.saturating_mul(1024));
    let (Some(total), Some(left)) = (kib("MemTotal"), kib("MemAvailable")) else {
        return Finding::unknown(name, "/proc/meminfo does not tell", "see `free -m`");
    };
    let swap = kib("SwapTotal").unwrap_or(0);
    let swap_free = kib("SwapFree").unwrap_or(0);
    let swapped =
        if swap == 0 { "no swap".to_owned() } else { format!("{} of {} swap free", bytes(swap_free), bytes(swap)) };
    let seen = format!("{} of {} available, {swapped}", bytes(left), bytes(total));
    if percent(left, total) < 5 {
        let advice = "the OOM killer is near: find what uses it (`ps --sort=-rss`), limit it or add memory";
        return Finding::warn(name, seen, advice);
    }
    if swap > 0 && percent(swap_free, swap) < 10 && percent(left, total) < 20 {
        let advice = "swap is used up: requests wait for pages; find what uses the memory (`ps --sort=-rss`)";
        return Finding::warn(name, seen, advice);
    }
    Finding::ok(name, seen)
}

/// The kernel's resources whose pressure counts, with the shares of a minute (`some`, `full`) above which it hurts.
const RESOURCES: [(&str, f64, f64, &str); 3] = [
    ("memory", 10.0, 5.0, "tasks wait for memory: find what uses it, or lower workers and caches"),
    (
        "io",
        60.0,
        30.0,
        "tasks wait for disks: find what reads and writes (`iotop`), keep logs and temporary files apart",
    ),
    ("cpu", 80.0, 100.0, "tasks wait for a processor: fewer workers, or more processors"),
];

/// Pressure over the last minute; `read` gives the text of `/proc/pressure/NAME`.
pub(super) fn pressure(read: impl Fn(&str) -> Option<String>) -> Finding {
    let name = "pressure";
    let mut seen = Vec::new();
    let mut hurts = None;
    for (resource, some, full, advice) in RESOURCES {
        let Some(text) = read(resource) else { continue };
        let share = |kind| minute(&text, kind);
        let Some(waited) = share("some") else { continue };
        seen.push(format!("{resource} {waited:.1} %"));
        if waited > some || share("full").is_some_and(|waited| waited > full) {
            hurts = hurts.or(Some(advice));
        }
    }
    if seen.is_empty() {
        return Finding::unknown(name, "no /proc/pressure on this kernel", "see `vmstat 1`, or boot with psi=1");
    }
    let seen = format!("of the last minute, some task waited for: {}", seen.join(", "));
    match hurts {
        Some(advice) => Finding::warn(name, seen, advice),
        None => Finding::ok(name, seen),
    }
}

/// `avg60` of a line, in per cent.
fn minute(text: &str, kind: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
    line.split(' ').find_map(|word| word.strip_prefix("avg60="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    #[test]
    fn little_memory_is_warned_of() {
        let text = |left, swap_free| {
            format!(
                "MemTotal:       4000000 kB\nMemFree: 1 kB\nMemAvailable:   {left} kB\nSwapTotal: 1000000 \
                 kB\nSwapFree: {swap_free} kB\n"
            )
        };
        let fine = memory(&text(3_000_000, 1_000_000));
        assert_eq!(
            (fine.status, fine.seen.as_str()),
            (Status::Ok, "2.9 GiB of 3.8 GiB available, 977 MiB of 977 MiB swap free")
        );
        assert_eq!(memory(&text(100_000, 1_000_000)).status, Status::Warn);
        assert_eq!(memory(&text(700_000, 50_000)).status, Status::Warn);
        assert_eq!(memory(&text(3_000_000, 50_000)).status, Status::Ok);
        assert_eq!(memory("").status, Status::Unknown);
    }

    #[test]
    fn pressure_that_hurts_is_warned_of() {
        let text = |some: &str, full: &str| {
            format!(
                "some avg10=0.00 avg60={some} avg300=0.04 total=2959274\nfull avg10=0.00 avg60={full} avg300=0.03 \
                 total=1293157\n"
            )
        };
        let calm = pressure(|_| Some(text("0.10", "0.00")));
        assert_eq!(calm.status, Status::Ok);
        assert!(calm.seen.ends_with("memory 0.1 %, io 0.1 %, cpu 0.1 %"), "{}", calm.seen);
        let memory = pressure(|name| (name == "memory").then(|| text("3.00", "6.00")));
        assert!(memory.advice.is_some_and(|advice| advice.starts_with("tasks wait for memory")));
        assert_eq!(pressure(|_| None).status, Status::Unknown);
        assert_eq!(pressure(|_| Some("some avg60=x".to_owned())).status, Status::Unknown);
    }
}
