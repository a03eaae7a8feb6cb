//! The kernel side as userspace sees it: which hooks there are, how they are loaded, attached, fed and read.

mod attach;
pub mod btf;
mod connections;
mod conntrack;
mod counters;
mod disk;
mod error;
mod family;
mod load;
pub mod needs;
mod object;
mod offsets;
mod poll;
pub mod proc;
mod records;
mod seed;
mod sockets;
mod surroundings;
mod sweep;
pub mod tls;

pub use attach::Depth;
pub use conntrack::Conntrack;
pub use counters::Counters;
pub use error::LoadError;
pub use family::Family;
pub use load::{Kernel, TlsSources};
pub use offsets::{Detail, Layout, Netfilter};
pub use records::Records;
pub use seed::Seeded;
pub use surroundings::Surroundings;
pub use sweep::{Sweep, kernel_config};
use tracer_common::twins;

/// Where the kernel shows its type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The lines of kernels on which every cause is staged and told by the tests. Others are read by their own type
/// information just the same.
pub const TESTED: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.2"];

/// The same for kernels with PREEMPT_RT and for those on 64-bit ARM.
pub const TESTED_APART: &str = "6.12";

/// What of a kernel says whether it is tested.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// `uname -r`.
    pub release: &'a str,
    /// `uname -v`: when and how it was built.
    pub version: &'a str,
    /// `uname -m`.
    pub machine: &'a str,
}

impl Build<'_> {
    /// Whether it is built with PREEMPT_RT.
    #[must_use]
    pub fn is_real_time(&self) -> bool {
        self.version.contains("PREEMPT_RT") || self.version.contains("PREEMPT RT")
    }

    /// Whether it is of a line that is tested.
    #[must_use]
    pub fn is_tested(&self) -> bool {
        let of = |line: &&str| {
            let rest = self.release.strip_prefix(line);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        match (self.machine, self.is_real_time()) {
            ("x86_64", false) => TESTED.iter().any(of),
            ("x86_64", true) | ("aarch64", false) => of(&TESTED_APART),
            _ => false,
        }
    }
}

/// How a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// `tp_btf`: a tracepoint with typed arguments.
    Tracepoint,
    /// The root cgroup's packets, inwards or outwards.
    CgroupIngress,
    CgroupEgress,
    /// What the root cgroup's processes do with a socket's addresses: `connect()`, `accept()`.
    CgroupAddress,
}

/// One hook: how it is attached, and what the verdicts lose without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program, and of the tracepoint where it is one.
    pub name: &'static str,
    pub attachment: Attachment,
    /// Without it no verdict is possible: the agent refuses to start.
    pub essential: bool,
    /// What its absence blurs, for `doctor`, the ready line and docs/architecture.md.
    pub blurs: &'static str,
}

const fn tracepoint(name: &'static str, essential: bool, blurs: &'static str) -> Hook {
    Hook { name, attachment: Attachment::Tracepoint, essential, blurs }
}

/// Every hook, in the order of attachment: what feeds others comes first.
pub const HOOKS: &[Hook] = &[
    tracepoint("mark_victim", false, "oom_kill reads as process_killed"),
    tracepoint("signal_generate", false, "supervisor_kill reads as process_killed, and nobody knows the sender"),
    tracepoint("sched_process_exit", false, "ends of processes are not counted"),
    tracepoint("net_dev_queue", false, "firewall_reject by RST reads as firewall_drop"),
    tracepoint("kfree_skb", false, "firewall_drop and firewall_reject are not told"),
    tracepoint("tcp_receive_reset", false, "resets from the edge are not counted, nor what it gave up on by one"),
    tracepoint("tcp_send_reset", false, "app_reset, closed_unread, listener_closed and port_closed are not seen"),
    Hook {
        name: "connect4",
        attachment: Attachment::CgroupAddress,
        essential: false,
        blurs: "an upstream without a route to it, over IPv4",
    },
    Hook { name: "connect6", attachment: Attachment::CgroupAddress, essential: false, blurs: "the same over IPv6" },
    Hook {
        name: "getpeername4",
        attachment: Attachment::CgroupAddress,
        essential: false,
        blurs: "over IPv4, an upstream that refused a proxy which had read nothing",
    },
    Hook { name: "getpeername6", attachment: Attachment::CgroupAddress, essential: false, blurs: "the same over IPv6" },
    tracepoint("sock_send_length", false, "which upstream was used over a unix socket"),
    tracepoint("sock_recv_length", false, "which process served it, and whether it hung up"),
    tracepoint("tcp_retransmit_synack", false, "a SYN-ACK that gets lost (reply_lost) is not told"),
    Hook {
        name: "payload_in",
        attachment: Attachment::CgroupIngress,
        essential: false,
        blurs: "no ray, method, host or path; requests on TLS and plain ports look alike; \
                listen_overflow and request_cut are not told",
    },
    Hook {
        name: "payload_out",
        attachment: Attachment::CgroupEgress,
        essential: false,
        blurs: "how far a response got: truncated, reset, malformed and too large ones are not told",
    },
    tracepoint("tcp_rcv_space_adjust", true, "which process owns a connection, and whether it answered"),
    tracepoint("inet_sock_set_state", true, "connections"),
];

/// A second program (twin) on a hook's tracepoint. The kernel skips a program that is already running on the same CPU;
/// then the twin sees the event in its place. Tasks meet this only where tracepoints can be preempted; a hook that
/// interrupts run into, too, needs its twin on every kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twin {
    of: &'static str,
    /// Name of the program.
    pub name: &'static str,
    /// Index of its counter in the map `STOOD_IN` (runs that it took over), and its bit in the global `TWINNED`.
    pub slot: u32,
    /// Needed on every kernel, and not only where tracepoints can be preempted.
    always: bool,
}

const TWINS: [Twin; 6] = [
    Twin { of: "sock_send_length", name: "sock_send_length_twin", slot: twins::SEND_LENGTH, always: false },
    Twin { of: "sock_recv_length", name: "sock_recv_length_twin", slot: twins::RECV_LENGTH, always: false },
    Twin { of: "sched_process_exit", name: "sched_process_exit_twin", slot: twins::PROCESS_EXIT, always: false },
    Twin { of: "tcp_send_reset", name: "tcp_send_reset_twin", slot: twins::SEND_RESET, always: false },
    Twin { of: "tcp_rcv_space_adjust", name: "tcp_rcv_space_adjust_twin", slot: twins::READ, always: false },
    Twin { of: "inet_sock_set_state", name: "inet_sock_set_state_twin", slot: twins::SET_STATE, always: true },
];

/// What became of a hook on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    Attached,
    /// The user switched it off.
    Off,
    /// This kernel lacks it, or refuses it: why.
    Missing(String),
}

/// A hook and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub hook: Hook,
    pub state: HookState,
}

impl Hook {
    /// The program that takes over where the kernel skips this hook's; `preempted`: tracepoints can be preempted.
    #[must_use]
    pub fn twin(&self, preempted: bool) -> Option<Twin> {
        TWINS.into_iter().find(|twin| twin.of == self.name && (preempted || twin.always))
    }
}

/// The twins that are attached, a bit for each.
fn twinned(preempted: bool) -> u8 {
    HOOKS.iter().filter_map(|hook| hook.twin(preempted)).fold(0, |all, twin| all | 1 << twin.slot)
}

impl Probe {
    #[must_use]
    pub fn attached(&self) -> bool {
        self.state == HookState::Attached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_twin_is_of_a_tracepoint_and_counted_by_itself() {
        let twins: Vec<_> = HOOKS.iter().filter_map(|hook| hook.twin(true)).collect();
        assert_eq!(twins.len(), TWINS.len());
        let slots: std::collections::BTreeSet<_> = twins.iter().map(|twin| twin.slot).collect();
        assert!(slots.into_iter().eq(0..twins::HOOKS));
        let is_tracepoint = |hook: &&Hook| hook.attachment == Attachment::Tracepoint;
        assert_eq!(HOOKS.iter().filter(is_tracepoint).filter_map(|hook| hook.twin(true)).count(), TWINS.len());
        assert_eq!((twinned(true), twinned(false)), ((1 << twins::HOOKS) - 1, 1 << twins::SET_STATE));
    }

    #[test]
    fn a_kernel_is_of_a_tested_line_by_its_first_two_numbers() {
        let is_tested = |release| Build { release, version: "#1 SMP", machine: "x86_64" }.is_tested();
        for tested in ["5.10.0-32-cloud-amd64", "6.1.0-50-amd64", "6.12.95+deb12-cloud-amd64", "7.2-rc3", "6.18"] {
            assert!(is_tested(tested), "{tested}");
        }
        for other in ["5.15.0-91-generic", "6.10.3", "6.120.1", "5.1.2", "16.1.0", ""] {
            assert!(!is_tested(other), "{other}");
        }
    }

    #[test]
    fn with_preempt_rt_and_on_arm_one_line_is_tested() {
        let build = |release, version, machine| Build { release, version, machine };
        let real_time = "#1 SMP PREEMPT_RT Debian 6.12.95-1";
        for tested in [build("6.12.95-rt-amd64", real_time, "x86_64"), build("6.12.95-arm64", "#1 SMP", "aarch64")] {
            assert!(tested.is_tested(), "{tested:?}");
        }
        for other in [
            build("6.1.0-50-rt-amd64", real_time, "x86_64"),
            build("6.12.95-rt-arm64", real_time, "aarch64"),
            build("6.1.0-50-arm64", "#1 SMP", "aarch64"),
            build("6.12.95", "#1 SMP", "riscv64"),
        ] {
            assert!(!other.is_tested(), "{other:?}");
        }
    }
}
