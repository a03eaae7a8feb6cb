//! Numbers out of the kernel's text files, and numbers for people.

/// A counter of `/proc/net/netstat` or `snmp`: a line of names, then one of values, both led by `group`.
pub(super) fn field(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let at = names.split_ascii_whitespace().position(|one| one == name);
        if let Some(value) = at.and_then(|at| values.split_ascii_whitespace().nth(at)) {
            return value.parse().ok();
        }
    }
    None
}

/// The number after `key` at the start of a line: `oom_kill 3`, `MemAvailable:  123 kB`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split([' ', ':', '\t']).next() == Some(key))?;
    line[key.len()..].trim_start_matches([' ', ':', '\t']).split_ascii_whitespace().next()?.parse().ok()
}

/// `some` of `all` in whole per cent.
pub(super) fn percent(some: u64, all: u64) -> u64 {
    u64::try_from(u128::from(some) * 100 / u128::from(all.max(1))).unwrap_or(u64::MAX)
}

/// Bytes in the largest unit that leaves one digit before the point.
#[allow(clippy::cast_precision_loss, reason = "a size for people")]
pub(super) fn bytes(count: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| count >> shift > 0) {
        Some((shift, unit)) => {
            let value = count as f64 / (1_u64 << shift) as f64;
            if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
        }
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_group_and_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: A\nIpExt: 3\n";
        assert_eq!(field(text, "TcpExt:", "B"), Some(2));
        assert_eq!(field(text, "IpExt:", "A"), Some(3));
        assert_eq!(field(text, "TcpExt:", "C"), None);
        assert_eq!(field("TcpExt: A", "TcpExt:", "A"), None);
        assert_eq!(keyed("MemTotal: 8 kB\nMemAvailable:   5 kB\n", "MemAvailable"), Some(5));
        assert_eq!(keyed("oom 1\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(keyed("oom_kill", "oom_kill"), None);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(["12 bytes", "1.5 KiB", "12 MiB", "2.0 GiB"], [12, 1536, 12 << 20, 2 << 30].map(bytes));
        assert_eq!((percent(1, 3), percent(5, 0)), (33, 500));
    }
}
