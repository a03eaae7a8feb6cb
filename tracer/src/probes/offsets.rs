//! What the kernel programs must know of the running kernel: offsets of members, presence of arguments, names of enums.

use std::{collections::BTreeMap, ops::Range};

use super::btf::Btf;

/// Global of the kernel object, struct, member path.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("OFF_SKC_FAMILY", "sock_common", "skc_family"),
    ("OFF_SKC_STATE", "sock_common", "skc_state"),
    ("OFF_SKC_DADDR", "sock_common", "skc_daddr"),
    ("OFF_SKC_RCV_SADDR", "sock_common", "skc_rcv_saddr"),
    ("OFF_SKC_DPORT", "sock_common", "skc_dport"),
    ("OFF_SKC_NUM", "sock_common", "skc_num"),
    ("OFF_SKC_V6_DADDR", "sock_common", "skc_v6_daddr"),
    ("OFF_SKC_V6_RCV_SADDR", "sock_common", "skc_v6_rcv_saddr"),
    ("OFF_SKC_NET", "sock_common", "skc_net.net"),
    ("OFF_NET_INUM", "net", "ns.inum"),
    ("OFF_SK_ERR", "sock", "sk_err"),
    ("OFF_SKC_FLAGS", "sock_common", "skc_flags"),
    ("OFF_SK_SOCKET", "sock", "sk_socket"),
    ("OFF_SK_PROTOCOL", "sock", "sk_protocol"),
    ("OFF_TCP_RCV_NXT", "tcp_sock", "rcv_nxt"),
    ("OFF_TCP_COPIED_SEQ", "tcp_sock", "copied_seq"),
    ("OFF_TCP_WRITE_SEQ", "tcp_sock", "write_seq"),
    ("OFF_TCP_BYTES_RECEIVED", "tcp_sock", "bytes_received"),
    ("OFF_TCP_BYTES_SENT", "tcp_sock", "bytes_sent"),
    ("OFF_TCP_LSNDTIME", "tcp_sock", "lsndtime"),
    ("OFF_ICSK_LRCVTIME", "inet_connection_sock", "icsk_ack.lrcvtime"),
    ("OFF_TCP_CLOCK", "tcp_sock", "tcp_clock_cache"),
    ("OFF_TCP_SND_UNA", "tcp_sock", "snd_una"),
    ("OFF_TCP_RCV_WND", "tcp_sock", "rcv_wnd"),
    ("OFF_TCP_RCV_WUP", "tcp_sock", "rcv_wup"),
    ("OFF_SK_ACK_BACKLOG", "sock", "sk_ack_backlog"),
    ("OFF_SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    ("OFF_TASK_FLAGS", "task_struct", "flags"),
    ("OFF_TASK_EXIT_CODE", "task_struct", "exit_code"),
    ("OFF_TASK_TGID", "task_struct", "tgid"),
    ("OFF_TASK_PID", "task_struct", "pid"),
    ("OFF_TASK_BLOCKED", "task_struct", "blocked"),
    ("OFF_TASK_LEADER", "task_struct", "group_leader"),
    ("OFF_TASK_COMM", "task_struct", "comm"),
    ("OFF_TASK_PARENT", "task_struct", "real_parent"),
    ("OFF_TASK_START", "task_struct", "start_boottime"),
    ("OFF_TASK_SIGNAL", "task_struct", "signal"),
    ("OFF_TASK_MM", "task_struct", "mm"),
    ("OFF_SIGNAL_LIVE", "signal_struct", "live"),
    ("OFF_SIGNAL_PIDS", "signal_struct", "pids"),
    ("OFF_MM_EXE", "mm_struct", "exe_file"),
    ("OFF_FILE_INODE", "file", "f_inode"),
    ("OFF_SIGINFO_CODE", "kernel_siginfo", "si_code"),
    ("OFF_SKB_HEAD", "sk_buff", "head"),
    ("OFF_SKB_NETWORK", "sk_buff", "network_header"),
    ("OFF_SKB_DEV", "sk_buff", "dev"),
    ("OFF_SKB_SK", "sk_buff", "sk"),
    ("OFF_SKB_LEN", "sk_buff", "len"),
    ("OFF_SKB_DST", "sk_buff", "_skb_refdst"),
    ("OFF_SKB_IIF", "sk_buff", "skb_iif"),
    ("OFF_DST_DEV", "dst_entry", "dev"),
    ("OFF_DEV_INDEX", "net_device", "ifindex"),
    ("OFF_DEV_NET", "net_device", "nd_net"),
    ("OFF_SOCKET_INODE", "socket_alloc", "vfs_inode"),
    ("OFF_INODE_INO", "inode", "i_ino"),
];

/// The same, where a kernel may lack the member: its offset is then 0, and what depends on it is left out.
const OPTIONAL: &[(&str, &str, &str)] = &[
    (RETRANSMITS, "inet_connection_sock", "icsk_retransmits"),
    ("OFF_ICSK_RTO", "inet_connection_sock", "icsk_rto"),
    ("OFF_TCP_SND_WND", "tcp_sock", "snd_wnd"),
    ("OFF_TREQ_RCV_ISN", "tcp_request_sock", "rcv_isn"),
    ("OFF_ICSK_QLEN", "inet_connection_sock", "icsk_accept_queue.qlen"),
    ("OFF_NET_SYNCOOKIES", "net", "ipv4.sysctl_tcp_syncookies"),
    ("OFF_SK_TYPE", "sock", "sk_type"),
    ("OFF_UNIX_PEER", "unix_sock", "peer"),
    ("OFF_UNIX_ADDR", "unix_sock", "addr"),
    ("OFF_UNIX_ADDRESS_NAME", "unix_address", "name"),
    ("OFF_NET_MAX_SYN_BACKLOG", "net", "ipv4.sysctl_max_syn_backlog"),
];
const RETRANSMITS: &str = "OFF_ICSK_RETRANSMITS";

const ENUMS: &[&str] = &["sk_rst_reason", "skb_drop_reason"];
/// Beside the members: what is attached to.
const ATTACHED: &[&str] = &[
    "bpf_iter_tcp",
    "btf_trace_inet_sock_set_state",
    "btf_trace_kfree_skb",
    "btf_trace_mark_victim",
    "btf_trace_net_dev_queue",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
    "btf_trace_signal_generate",
    "btf_trace_sock_recv_length",
    "btf_trace_sock_send_length",
    "btf_trace_tcp_rcv_space_adjust",
    "btf_trace_tcp_receive_reset",
    "btf_trace_tcp_retransmit_synack",
    "btf_trace_tcp_send_reset",
];

/// What a kernel has that guards its tracepoints by SRCU (7.0), so that they can be preempted.
const GUARD: (&str, &str) = ("srcu_struct", "srcu_reader_flavor");

/// What a kernel with PREEMPT_RT has whose ring buffers are guarded by a lock that sleeps (before 6.12, unless mended):
/// a program of a tracepoint that waits for it can bring the kernel down.
const SLEEPING: (&str, &str) = ("bpf_ringbuf", "spinlock.lock");

/// How the packets that netfilter drops are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netfilter {
    /// By the kernel's number of `SKB_DROP_REASON_NETFILTER_DROP`.
    Reason(u32),
    /// By the address that freed them.
    Location(Places),
    /// Not at all: why.
    Unknown(&'static str),
}

/// Where the kernel's functions lie that free packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub nf_hook_slow: Range<u64>,
    pub tcp_v4_rcv: Range<u64>,
    pub tcp_v6_rcv: Range<u64>,
}

/// An argument that a hook has on newer kernels only, and what is used where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Hook and argument, with a colon between them.
    pub name: &'static str,
    /// This kernel has it.
    pub present: bool,
    /// What is done without it, and what that blurs.
    pub instead: &'static str,
}

/// What was found in a kernel's type information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Value per global of the kernel object.
    pub offsets: Vec<(&'static str, u64)>,
    /// `tcp_send_reset` has its `reason`.
    pub has_rst_reason: bool,
    /// `mark_victim` gives the task, not only its pid.
    pub victim_is_task: bool,
    /// `tcp_sock.repair`: offset of its byte, and its bit in that.
    pub repair: Option<(u64, u8)>,
    /// `inet_request_sock.acked`, in the same way.
    pub acked: Option<(u64, u8)>,
    /// How the packets that netfilter drops are known.
    pub netfilter: Netfilter,
    /// The kernel's number of `SKB_DROP_REASON_NO_SOCKET`.
    pub no_socket: Option<u32>,
    /// The kernel's own names of reset reasons, `SK_RST_REASON_` cut off.
    pub rst_reasons: BTreeMap<u32, String>,
    /// A task can lose the CPU in the middle of a tracepoint's program.
    pub preempted: bool,
}

impl Layout {
    /// Every name that [`Layout::resolve`] asks for.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let members = MEMBERS.iter().chain(OPTIONAL).map(|(_, name, _)| *name);
        let mut names: Vec<_> = members.chain(ENUMS.iter().copied()).collect();
        names.extend(ATTACHED);
        names.extend([GUARD.0, "inet_request_sock", SLEEPING.0]);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The type information cut down to what [`Layout::resolve`] reads of it.
    #[must_use]
    pub fn fixture(btf: &Btf) -> Vec<u8> {
        let paths = MEMBERS.iter().chain(OPTIONAL).flat_map(|(_, _, path)| path.split('.'));
        btf.reduced(&paths.chain(["repair", "acked", GUARD.1]).chain(SLEEPING.1.split('.')).collect())
    }

    /// Resolves all that the kernel programs need; an error names every member that this kernel lacks, or says why they
    /// must not run there.
    pub fn resolve(btf: &Btf) -> Result<Self, String> {
        if btf.member(SLEEPING.0, SLEEPING.1).is_some() {
            return Err(
                "a kernel with PREEMPT_RT whose ring buffers have a lock that sleeps, so that tracing can hang \
                        it (mended in 6.12 and in some releases of older lines)"
                    .into(),
            );
        }
        let mut missing = Vec::new();
        let mut offsets = Vec::with_capacity(MEMBERS.len());
        for (global, name, path) in MEMBERS {
            match btf.member(name, path) {
                Some(offset) => offsets.push((*global, offset)),
                None => missing.push(format!("{name}.{path}")),
            }
        }
        if !missing.is_empty() {
            return Err(format!("this kernel's type information lacks {}", missing.join(", ")));
        }
        offsets.extend(OPTIONAL.iter().map(|(global, name, path)| (*global, btf.member(name, path).unwrap_or(0))));
        let rst_reasons = btf
            .enum_values("sk_rst_reason")
            .unwrap_or_default()
            .into_iter()
            .map(|(value, name)| (value, name.strip_prefix("SK_RST_REASON_").unwrap_or(&name).to_owned()))
            .collect();
        Ok(Self {
            offsets,
            has_rst_reason: btf.tracepoint_args("tcp_send_reset").is_some_and(|args| args >= 3),
            repair: btf.bit("tcp_sock", "repair"),
            acked: btf.bit("inet_request_sock", "acked"),
            netfilter: netfilter(btf),
            no_socket: drop_reason(btf, "SKB_DROP_REASON_NO_SOCKET"),
            victim_is_task: btf.tracepoint_arg_is_pointer("mark_victim", 0).unwrap_or(false),
            rst_reasons,
            preempted: btf.member(GUARD.0, GUARD.1).is_some(),
        })
    }

    /// Whether it is known how often a connection's data was sent again.
    #[must_use]
    pub fn tells_retransmissions(&self) -> bool {
        self.offsets.iter().any(|(name, offset)| *name == RETRANSMITS && *offset != 0)
    }

    /// Which of those arguments this kernel's hooks have.
    #[must_use]
    pub fn details(&self) -> [Detail; 3] {
        let by_location = matches!(self.netfilter, Netfilter::Location(_));
        [
            Detail {
                name: "tcp_send_reset:reason",
                present: self.has_rst_reason,
                instead: "a RST without a connection is read off the wire and the packet that it answers; reset \
                          reasons are unknown",
            },
            Detail {
                name: "kfree_skb:reason",
                present: matches!(self.netfilter, Netfilter::Reason(_)),
                instead: if by_location {
                    "netfilter's drops and refused SYNs are known by the address of the function that freed them"
                } else if self.has_rst_reason {
                    "firewall_drop and firewall_reject are not told"
                } else {
                    "firewall_drop, firewall_reject and port_closed are not told"
                },
            },
            Detail {
                name: "mark_victim:task",
                present: self.victim_is_task,
                instead: "an OOM victim is known by its pid, and by the signal that it got",
            },
        ]
    }

    /// One line per fact, for people and for comparison.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines: Vec<_> = self.offsets.iter().map(|(name, offset)| format!("{name} {offset}")).collect();
        lines.push(format!("reset reasons {}", self.has_rst_reason));
        lines.push(format!("victim is a task {}", self.victim_is_task));
        for (name, place) in [("repair", self.repair), ("acked", self.acked)] {
            lines.push(place.map_or(format!("{name} unknown"), |(byte, bit)| format!("{name} {byte} bit {bit:#x}")));
        }
        lines.push(match &self.netfilter {
            Netfilter::Reason(number) => format!("netfilter drops by reason {number}"),
            Netfilter::Location(_) | Netfilter::Unknown(_) => "netfilter drops by location".to_owned(),
        });
        lines.push(format!("tracepoints can be preempted {}", self.preempted));
        lines.extend(self.rst_reasons.iter().map(|(number, name)| format!("reset reason {number} {name}")));
        lines.join("\n") + "\n"
    }

    /// The kernel's name of a reset reason, if it has one.
    #[must_use]
    pub fn rst_reason(&self, reason: u32) -> Option<&str> {
        self.rst_reasons.get(&reason).map(String::as_str)
    }
}

fn netfilter(btf: &Btf) -> Netfilter {
    if btf.tracepoint_args("kfree_skb").is_none_or(|args| args < 3) {
        return Netfilter::Unknown("this kernel's kfree_skb gives no reason, and /proc/kallsyms no addresses");
    }
    drop_reason(btf, "SKB_DROP_REASON_NETFILTER_DROP")
        .map_or(Netfilter::Unknown("this kernel's kfree_skb has no reason for netfilter"), Netfilter::Reason)
}

/// The kernel's number of a drop reason.
fn drop_reason(btf: &Btf, wanted: &str) -> Option<u32> {
    let reasons = btf.enum_values("skb_drop_reason").unwrap_or_default();
    reasons.iter().find_map(|(value, name)| (name == wanted).then_some(*value))
}

/// Where the functions that free packets lie, from the text of `/proc/kallsyms`. `None` where addresses are hidden.
#[must_use]
pub(super) fn places(kallsyms: &str) -> Option<Places> {
    let function = |name| function(kallsyms, name);
    Some(Places {
        nf_hook_slow: function("nf_hook_slow")?,
        tcp_v4_rcv: function("tcp_v4_rcv")?,
        // A kernel without IPv6 has none.
        tcp_v6_rcv: function("tcp_v6_rcv").unwrap_or_default(),
    })
}

/// Where a function lies: up to the next symbol.
fn function(kallsyms: &str, name: &str) -> Option<Range<u64>> {
    let address = |line: &str| u64::from_str_radix(line.split(' ').next()?, 16).ok();
    let is_it = |line: &&str| line.split([' ', '\t']).nth(2) == Some(name);
    let from = kallsyms.lines().find(is_it).and_then(address)?;
    let to = kallsyms.lines().filter_map(address).filter(|next| *next > from).min()?;
    (from != 0).then_some(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_all_that_is_needed() {
        let Ok(data) = std::fs::read(crate::probes::BTF_PATH) else {
            eprintln!("skipped: this kernel shows no BTF");
            return;
        };
        let layout = Layout::resolve(&Btf::parse(data, &Layout::names()).unwrap()).unwrap();
        assert_eq!(layout.offsets.len(), MEMBERS.len() + OPTIONAL.len());
        if layout.has_rst_reason {
            assert!(layout.rst_reasons.values().any(|name| name == "NO_SOCKET"), "{:?}", layout.rst_reasons);
        }
        for place in [layout.repair, layout.acked] {
            assert!(place.is_some_and(|(_, bit)| bit.is_power_of_two()), "{place:?}");
        }
    }

    #[test]
    fn every_typed_tracepoint_is_among_the_names() {
        for hook in super::super::HOOKS.iter().filter(|hook| hook.attachment == super::super::Attachment::Tracepoint) {
            assert!(Layout::names().contains(&format!("btf_trace_{}", hook.name).as_str()), "{}", hook.name);
        }
    }

    #[test]
    fn a_function_reaches_to_the_next_symbol() {
        let text = "ffffffff81000000 T _text\nffffffff81a00200 T nf_hook_slow_list\nffffffff81a00100 T nf_hook_slow\n";
        assert_eq!(function(text, "nf_hook_slow"), Some(0xffff_ffff_81a0_0100..0xffff_ffff_81a0_0200));
        let hidden = "0000000000000000 T _text\n0000000000000000 T nf_hook_slow\n";
        assert_eq!(places(hidden), None);
        assert_eq!(places(""), None);
    }

    #[test]
    fn a_missing_member_is_named() {
        let mut empty = vec![0x9f, 0xeb, 1, 0];
        for word in [24_u32, 0, 0, 0, 1] {
            empty.extend(word.to_ne_bytes());
        }
        empty.push(0);
        let error = Layout::resolve(&Btf::parse(empty, &Layout::names()).unwrap()).unwrap_err();
        assert!(error.contains("tcp_sock.copied_seq"), "{error}");
    }
}
