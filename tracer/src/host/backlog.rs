//! Accept queues: how full, how long they may get, and whether connections were turned away.

use super::finding::Finding;
use super::listeners::Listener;
use super::number::field;

/// A shorter queue overflows in a burst that a healthy server survives.
const SHORT: u32 = 128;

/// The kernel's own limits, where they can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sysctls {
    pub(super) somaxconn: Option<u32>,
    pub(super) max_syn_backlog: Option<u32>,
    pub(super) syncookies: Option<u32>,
    pub(super) abort_on_overflow: Option<u32>,
}

/// What the watched listeners' queues look like; each comes with the name of its process.
pub(super) fn queues(listeners: &[(Listener, String)], sysctls: Sysctls) -> Vec<Finding> {
    let name = "listen backlog";
    let mut found = Vec::new();
    let mut fine = Vec::new();
    for (listener, process) in listeners {
        let Listener { port, queue, limit, .. } = listener;
        let seen = format!("{process} on :{port}: {queue} of at most {limit} connections wait to be accepted");
        if u64::from(*queue) * 2 >= u64::from(*limit).max(1) && *queue > 0 {
            let advice = format!(
                "find what keeps {process} from accepting (blocked workers, CPU, swap); then raise its backlog: {}",
                setting(process)
            );
            found.push(Finding::warn(name, seen, advice));
        } else if *limit < SHORT {
            let capped = sysctls.somaxconn.is_some_and(|max| max <= *limit);
            let first = if capped { "raise net.core.somaxconn (sysctl) and restart it, then " } else { "" };
            let advice = format!("{first}raise its backlog to {SHORT} or more: {}", setting(process));
            found.push(Finding::warn(name, seen, advice));
        } else {
            fine.push(format!(":{port} {queue}/{limit}"));
        }
    }
    fine.dedup();
    if !fine.is_empty() {
        let max = sysctls.somaxconn.map_or(String::new(), |max| format!(" (net.core.somaxconn {max})"));
        found.push(Finding::ok(name, format!("{}{max}", fine.join(", "))));
    }
    found
}

/// Where a server takes its backlog from.
fn setting(process: &str) -> &'static str {
    match process.split('[').next().unwrap_or_default() {
        "nginx" | "openresty" | "angie" => "`listen … backlog=511;`, then a restart",
        "apache2" | "httpd" => "`ListenBacklog 511`",
        "haproxy" => "`backlog` or `maxconn` of the frontend",
        "node" | "MainThread" => "the backlog argument of server.listen()",
        "gunicorn" => "`--backlog`",
        "php" | "php-fpm" => "`listen.backlog`",
        _ => "the argument of its listen()",
    }
}

/// What the kernel does with SYNs when queues are full.
pub(super) fn syn(sysctls: Sysctls) -> Finding {
    let name = "SYN handling";
    let seen = |value: Option<u32>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let text = format!(
        "tcp_syncookies {}, tcp_max_syn_backlog {}, tcp_abort_on_overflow {}",
        seen(sysctls.syncookies),
        seen(sysctls.max_syn_backlog),
        seen(sysctls.abort_on_overflow)
    );
    if sysctls.abort_on_overflow.is_some_and(|on| on != 0) {
        let advice = "set net.ipv4.tcp_abort_on_overflow=0: a full accept queue then delays visitors where it now \
                      resets them (520)";
        return Finding::warn(name, text, advice);
    }
    match (sysctls.syncookies, sysctls.max_syn_backlog) {
        (Some(0), Some(backlog)) if backlog < 1024 => {
            Finding::warn(name, text, "set net.ipv4.tcp_syncookies=1: a burst of SYNs is dropped without it (522)")
        }
        (None, _) => Finding::unknown(name, text, "read it with `sysctl net.ipv4.tcp_syncookies`"),
        _ => Finding::ok(name, text),
    }
}

/// Connections that full queues turned away since the namespace began, from `/proc/net/netstat` and `/proc/net/snmp`.
pub(super) fn overflows(netstat: &str, snmp: &str) -> Finding {
    let name = "accept queue overflows";
    let count = |key| field(netstat, "TcpExt:", key);
    let (Some(overflows), Some(drops)) = (count("ListenOverflows"), count("ListenDrops")) else {
        return Finding::unknown(name, "no counters in /proc/net/netstat", "see `nstat -az TcpExtListenOverflows`");
    };
    let opened = field(snmp, "Tcp:", "PassiveOpens").unwrap_or(0);
    let refused = count("TCPReqQFullDrop").unwrap_or(0);
    let seen = format!(
        "{overflows} overflows, {drops} connections dropped at listeners, {refused} SYNs without room, {opened} \
         accepted"
    );
    let lost = overflows.max(refused);
    // One in ten thousand.
    if lost.saturating_mul(10_000) > lost + opened {
        let advice = "`tracer watch` names the port (listen_overflow): accept faster (more workers), or raise its \
                      backlog and net.core.somaxconn";
        return Finding::warn(name, seen, advice);
    }
    Finding::ok(name, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn one(queue: u32, limit: u32) -> Vec<(Listener, String)> {
        let listener = Listener { addr: [0, 0, 0, 0].into(), port: 80, queue, limit, inode: 1 };
        vec![(listener, "nginx[7]".to_owned())]
    }

    #[test]
    fn short_and_filling_queues_are_warned_of_with_the_servers_setting() {
        let sysctls = Sysctls { somaxconn: Some(4096), ..Sysctls::default() };
        let [finding] = &queues(&one(0, 511), sysctls)[..] else { panic!("one") };
        assert_eq!((finding.status, finding.seen.as_str()), (Status::Ok, ":80 0/511 (net.core.somaxconn 4096)"));
        let [finding] = &queues(&one(0, 100), sysctls)[..] else { panic!("one") };
        assert_eq!(finding.status, Status::Warn);
        assert_eq!(
            finding.advice.as_deref(),
            Some("raise its backlog to 128 or more: `listen … backlog=511;`, then a restart")
        );
        let [finding] = &queues(&one(0, 64), Sysctls { somaxconn: Some(64), ..sysctls })[..] else { panic!("one") };
        assert!(finding.advice.as_deref().unwrap().starts_with("raise net.core.somaxconn"));
        let [finding] = &queues(&one(256, 511), sysctls)[..] else { panic!("one") };
        assert!(finding.advice.as_deref().unwrap().starts_with("find what keeps nginx[7] from accepting"));
    }

    #[test]
    fn resets_by_full_queues_and_missing_cookies_are_warned_of() {
        let usual = Sysctls {
            somaxconn: Some(4096),
            max_syn_backlog: Some(512),
            syncookies: Some(1),
            abort_on_overflow: Some(0),
        };
        assert_eq!(syn(usual).status, Status::Ok);
        assert_eq!(syn(Sysctls { abort_on_overflow: Some(1), ..usual }).status, Status::Warn);
        assert_eq!(syn(Sysctls { syncookies: Some(0), ..usual }).status, Status::Warn);
        assert_eq!(syn(Sysctls { syncookies: None, ..usual }).status, Status::Unknown);
    }

    #[test]
    fn overflows_count_in_proportion() {
        let netstat = |overflows| {
            format!(
                "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPReqQFullDrop\nTcpExt: 0 {overflows} 9 0\nIpExt: \
                 InOctets\nIpExt: 5\n"
            )
        };
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: ActiveOpens PassiveOpens\nTcp: 1 100000\n";
        assert_eq!(overflows(&netstat(0), snmp).status, Status::Ok);
        assert_eq!(overflows(&netstat(9), snmp).status, Status::Ok);
        let many = overflows(&netstat(11), snmp);
        assert_eq!(many.status, Status::Warn);
        assert!(many.seen.starts_with("11 overflows, 9 connections dropped"), "{}", many.seen);
        assert_eq!(overflows("", "").status, Status::Unknown);
    }
}
