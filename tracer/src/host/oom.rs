//! OOM kills of the past: the kernel's counter, and the log where it still holds them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use super::finding::Finding;
use super::number::keyed;

/// A kill this long ago is still news.
const NEWS: Duration = Duration::from_secs(24 * 60 * 60);
/// Kills that are named, the latest first.
const NAMED: usize = 3;
/// Records of the log that are read at most.
const RECORDS: usize = 200_000;

/// One kill in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kill {
    /// Since the system began.
    at: Duration,
    pid: u32,
    name: String,
    /// At the limit of a control group; the host's memory otherwise.
    group: bool,
}

/// What the counter (`/proc/vmstat`) and the log say; `now` is the time since the system began.
pub(super) fn kills(vmstat: &str, now: Duration) -> Finding {
    judge(keyed(vmstat, "oom_kill"), log().as_deref(), now)
}

/// The kills in the kernel's log; `None`: it may not be read.
fn log() -> Option<Vec<Kill>> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").ok()?;
    let mut kills = Vec::new();
    let mut buffer = [0; 8192];
    // One record a read; an overwritten record is an error once, the end is WouldBlock.
    for _ in 0..RECORDS {
        match file.read(&mut buffer) {
            Ok(len) if len > 0 => kills.extend(kill(&String::from_utf8_lossy(&buffer[..len]))),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            _ => break,
        }
    }
    Some(kills)
}

/// Reads `priority,number,microseconds,flags;… out of memory: Killed process 123 (comm) …`.
fn kill(record: &str) -> Option<Kill> {
    let (before, after) = record.split_once(": Killed process ")?;
    let (fields, before) = before.split_once(';')?;
    let (pid, after) = after.split_once(" (")?;
    // A name may hold brackets; what follows it begins thus.
    let name = after.split_once(") total-vm").or_else(|| after.split_once(')'))?.0;
    Some(Kill {
        at: Duration::from_micros(fields.split(',').nth(2)?.parse().ok()?),
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        group: before.starts_with("Memory cgroup"),
    })
}

fn judge(count: Option<u64>, log: Option<&[Kill]>, now: Duration) -> Finding {
    let name = "OOM kills";
    let Some(count) = count else {
        return Finding::unknown(name, "/proc/vmstat does not tell", "see `dmesg | grep -i 'killed process'`");
    };
    if count == 0 {
        return Finding::ok(name, "none since the system began");
    }
    let Some(log) = log else {
        let seen = format!("{count} since the system began; the kernel's log may not be read here");
        return Finding::unknown(name, seen, "run as root (CAP_SYSLOG), or see `dmesg | grep -i 'killed process'`");
    };
    let ago = |kill: &Kill| now.saturating_sub(kill.at);
    let named: Vec<_> = log
        .iter()
        .rev()
        .take(NAMED)
        .map(|kill| {
            let limit = if kill.group { "its control group's limit" } else { "the host's memory" };
            format!("{}[{}] {} ago ({limit})", kill.name, kill.pid, coarse(ago(kill)))
        })
        .collect();
    let Some(last) = log.last() else {
        return Finding::ok(name, format!("{count} since the system began, none in the kernel's log any more"));
    };
    let seen = format!("{count} since the system began; the latest: {}", named.join(", "));
    if ago(last) > NEWS {
        return Finding::ok(name, seen);
    }
    let mend =
        if last.group { "raise its memory limit (MemoryMax)" } else { "add memory or limit the largest consumer" };
    Finding::warn(name, seen, format!("{mend}, or lower what it uses; `tracer run` tells which requests died of it"))
}

/// A time in its largest unit.
fn coarse(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    const GROUP: &str = "3,1024,7200000000,-;Memory cgroup out of memory: Killed process 4711 (php-fpm8.2 (x)) \
                         total-vm:10kB, anon-rss:1kB";
    const HOST: &str = "3,9,5000000,-;Out of memory: Killed process 7 (mysqld) total-vm:1kB";

    #[test]
    fn records_of_the_log_are_read() {
        let group = kill(GROUP).unwrap();
        assert_eq!(
            group,
            Kill { at: Duration::from_secs(7200), pid: 4711, name: "php-fpm8.2 (x)".to_owned(), group: true }
        );
        assert!(!kill(HOST).unwrap().group);
        assert_eq!(kill("6,1,5,-;usb 1-1: new device"), None);
        for end in 0..GROUP.len() {
            // No prefix panics, and none before the name's end is a kill.
            assert!(kill(&GROUP[..end]).is_none() || end > GROUP.find("fpm8.2 (x").unwrap());
        }
    }

    #[test]
    fn fresh_kills_are_warned_of_with_who_and_when() {
        let log = [kill(HOST).unwrap(), kill(GROUP).unwrap()];
        let fresh = judge(Some(2), Some(&log), Duration::from_secs(7260));
        assert_eq!(fresh.status, Status::Warn);
        assert_eq!(
            fresh.seen,
            "2 since the system began; the latest: php-fpm8.2 (x)[4711] 60 s ago (its control group's limit), \
             mysqld[7] 2 h ago (the host's memory)"
        );
        assert_eq!(judge(Some(2), Some(&log), Duration::from_secs(7200 + 90_000)).status, Status::Ok);
        assert_eq!(judge(Some(2), Some(&[]), Duration::from_secs(9)).status, Status::Ok);
        assert_eq!(judge(Some(2), None, Duration::from_secs(9)).status, Status::Unknown);
        assert_eq!(judge(Some(0), None, Duration::from_secs(9)).status, Status::Ok);
        assert_eq!(judge(None, None, Duration::from_secs(9)).status, Status::Unknown);
    }
}
