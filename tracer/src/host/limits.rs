//! Tables and numbers that run out: tracked connections, local ports for upstreams, file descriptors.

use super::finding::Finding;
use super::number::percent;

/// The table of tracked connections; `None`: the host tracks none.
pub(super) fn conntrack(count: Option<u64>, max: Option<u64>) -> Finding {
    let name = "connection tracking";
    match (count, max) {
        (Some(count), Some(max)) => {
            let seen = format!("{count} of {max} entries ({} %)", percent(count, max));
            // 0: no limit.
            if max > 0 && percent(count, max) >= 80 {
                let advice = "raise net.netfilter.nf_conntrack_max, or find who fills the table (`conntrack -S`): when \
                              it is full, SYNs are dropped (522)";
                return Finding::warn(name, seen, advice);
            }
            Finding::ok(name, seen)
        }
        _ => Finding::ok(name, "not in use"),
    }
}

/// Local ports for connections to upstreams: `ip_local_port_range` and `/proc/net/sockstat`.
pub(super) fn local_ports(range: &str, sockstat: &str) -> Finding {
    let name = "ports for upstreams";
    let mut ends = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return Finding::unknown(name, "no range", "see `sysctl net.ipv4.ip_local_port_range`");
    };
    let ports = (last + 1).saturating_sub(first);
    let waiting = waiting(sockstat).unwrap_or(0);
    let seen = format!("{ports} local ports ({first}–{last}), {waiting} connections in TIME_WAIT");
    if ports < 10_000 || percent(waiting, ports) >= 80 {
        let advice = "widen net.ipv4.ip_local_port_range, and keep connections to upstreams alive (nginx: `keepalive` \
                      in upstream): a proxy without a port answers 502";
        return Finding::warn(name, seen, advice);
    }
    Finding::ok(name, seen)
}

/// `tw` of the line `TCP: inuse 5 orphan 0 tw 12 …`.
fn waiting(sockstat: &str) -> Option<u64> {
    let mut words = sockstat.lines().find(|line| line.starts_with("TCP:"))?.split(' ').skip_while(|word| *word != "tw");
    words.nth(1)?.parse().ok()
}

/// A process with the files that it has open, and its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) process: String,
    pub(super) open: u64,
    pub(super) limit: u64,
}

/// The soft limit in `/proc/PID/limits`.
pub(crate) fn open_files_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_ascii_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// The watched listeners' processes, and the whole host from `/proc/sys/fs/file-nr`.
pub(super) fn files(processes: &[Files], file_nr: &str) -> Finding {
    let name = "open files";
    let full: Vec<_> = processes
        .iter()
        .filter(|one| percent(one.open, one.limit) >= 80)
        .map(|one| format!("{} has {} of {} open", one.process, one.open, one.limit))
        .collect();
    if !full.is_empty() {
        let advice = "raise its limit (LimitNOFILE of the unit; nginx: worker_rlimit_nofile): at the limit it can't \
                      accept connections nor open upstreams";
        return Finding::warn(name, full.join(", "), advice);
    }
    let mut numbers = file_nr.split_ascii_whitespace().map(str::parse::<u64>);
    if let (Some(Ok(open)), Some(Ok(max))) = (numbers.next(), numbers.nth(1))
        && percent(open, max) >= 80
    {
        return Finding::warn(name, format!("{open} of {max} on the whole host"), "raise fs.file-max");
    }
    let fullest = processes.iter().max_by_key(|one| percent(one.open, one.limit));
    Finding::ok(
        name,
        fullest.map_or_else(
            || "no watched listener's process to look at".to_owned(),
            |one| {
                format!("{} has {} of {} open, the most of the listening processes", one.process, one.open, one.limit)
            },
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    #[test]
    fn a_filling_table_of_connections_is_warned_of() {
        assert_eq!(conntrack(Some(10), Some(100)).seen, "10 of 100 entries (10 %)");
        assert_eq!(conntrack(Some(80), Some(100)).status, Status::Warn);
        assert_eq!(conntrack(Some(80), Some(0)).status, Status::Ok);
        assert_eq!(conntrack(None, Some(1)).seen, "not in use");
    }

    #[test]
    fn few_local_ports_are_warned_of() {
        let sockstat = |waiting| {
            format!("sockets: used 167\nTCP: inuse 6 orphan 0 tw {waiting} alloc 33 mem 0\nUDP: inuse 0 mem 0\n")
        };
        let fine = local_ports("32768\t60999\n", &sockstat(12));
        assert_eq!(fine.seen, "28232 local ports (32768–60999), 12 connections in TIME_WAIT");
        assert_eq!(local_ports("32768\t60999\n", &sockstat(25_000)).status, Status::Warn);
        assert_eq!(local_ports("60000 60999", &sockstat(0)).status, Status::Warn);
        assert_eq!(local_ports("", "").status, Status::Unknown);
    }

    #[test]
    fn processes_near_their_limit_are_named() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open \
                      files            1024                 524288               files     \n";
        assert_eq!(open_files_limit(limits), Some(1024));
        let one = Files { process: "nginx[7]".to_owned(), open: 20, limit: 1024 };
        assert_eq!(files(std::slice::from_ref(&one), "2944 0 1048576").status, Status::Ok);
        assert_eq!(files(std::slice::from_ref(&one), "1000000 0 1048576").seen, "1000000 of 1048576 on the whole host");
        let full = files(&[Files { open: 900, ..one.clone() }, one], "");
        assert_eq!((full.status, full.seen.as_str()), (Status::Warn, "nginx[7] has 900 of 1024 open"));
        assert_eq!(files(&[], "").status, Status::Ok);
    }
}
