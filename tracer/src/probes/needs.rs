//! Which causes this host can recognise: the hooks that each needs.

use super::{HookState, Layout, Netfilter, Probe};
use crate::diagnose::Cause;

/// The hooks without which a cause is not told, or reads as another one; those that nothing works without are not
/// named.
#[must_use]
pub const fn needs(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::OomKill => &["mark_victim"],
        Cause::SupervisorKill | Cause::ProcessKilled => &["signal_generate"],
        Cause::ListenerClosed | Cause::PortClosed | Cause::ClosedUnread | Cause::AppReset => &["tcp_send_reset"],
        Cause::KeepaliveRace | Cause::ClosedBeforeRequest => &["payload_in", "tcp_send_reset"],
        Cause::TruncatedHeaders
        | Cause::TruncatedBody
        | Cause::ResetMidResponse
        | Cause::MalformedResponse
        | Cause::Http2ProtocolError
        | Cause::HeadersTooLarge
        | Cause::ResponseStalled
        | Cause::TlsToPlainPort
        | Cause::TlsClientCertRequired
        | Cause::CertInvalid
        | Cause::TlsHandshakeFailed => &["payload_in", "payload_out"],
        Cause::ListenOverflow | Cause::RequestCut => &["payload_in"],
        Cause::ReplyLost => &["tcp_receive_reset", "tcp_retransmit_synack"],
        Cause::FirewallDrop => &["kfree_skb"],
        Cause::FirewallReject => &["kfree_skb", "net_dev_queue", "payload_out"],
        Cause::ResponseTimeout | Cause::RequestStalled => &["tcp_receive_reset"],
        Cause::Crash | Cause::ProcessExit | Cause::EmptyReply | Cause::SilentDrop | Cause::Unexplained => &[],
    }
}

/// The hooks that the cause needs and that are not attached here, each with the reason.
#[must_use]
pub fn lacks(cause: Cause, probes: &[Probe]) -> Vec<(&Probe, &str)> {
    let needed = probes.iter().filter(|probe| needs(cause).contains(&probe.hook.name));
    needed
        .filter_map(|probe| match &probe.state {
            HookState::Attached => None,
            HookState::Off => Some((probe, "switched off")),
            HookState::Missing(why) => Some((probe, why.as_str())),
        })
        .collect()
}

/// Why a cause is not recognised although its hooks are attached: packets that it shows in look like others.
#[must_use]
pub fn blind(cause: Cause, layout: &Layout) -> Option<&'static str> {
    if cause == Cause::ReplyLost && !layout.tells_retransmissions() {
        return Some("this kernel's type information does not tell how often data was sent again");
    }
    let Netfilter::Unknown(why) = layout.netfilter else { return None };
    let shown_by_the_free = match cause {
        Cause::FirewallDrop | Cause::FirewallReject => true,
        Cause::PortClosed => !layout.has_rst_reason,
        _ => false,
    };
    shown_by_the_free.then_some(why)
}

#[cfg(test)]
mod tests {
    use super::{super::HOOKS, *};

    #[test]
    fn where_freed_packets_look_alike_the_causes_that_they_show_are_not_told() {
        let mut layout = Layout {
            offsets: vec![("OFF_ICSK_RETRANSMITS", 1)],
            has_rst_reason: false,
            victim_is_task: false,
            repair: None,
            acked: None,
            netfilter: Netfilter::Unknown("hidden"),
            no_socket: None,
            rst_reasons: std::collections::BTreeMap::new(),
            preempted: false,
        };
        let blind_to = |layout: &Layout| -> Vec<Cause> {
            Cause::ALL.iter().copied().filter(|cause| blind(*cause, layout).is_some()).collect()
        };
        assert_eq!(blind_to(&layout), [Cause::PortClosed, Cause::FirewallDrop, Cause::FirewallReject]);
        layout.has_rst_reason = true;
        assert_eq!(blind_to(&layout), [Cause::FirewallDrop, Cause::FirewallReject]);
        layout.netfilter = Netfilter::Reason(8);
        assert_eq!(blind_to(&layout), []);
        layout.offsets.clear();
        assert_eq!(blind_to(&layout), [Cause::ReplyLost]);
    }

    #[test]
    fn every_need_is_a_hook_and_an_absent_one_is_named() {
        for cause in Cause::ALL {
            for need in needs(*cause) {
                assert!(HOOKS.iter().any(|hook| hook.name == *need), "{cause} needs {need}");
            }
        }
        let probes: Vec<_> = HOOKS
            .iter()
            .map(|hook| Probe {
                hook: *hook,
                state: if hook.name == "kfree_skb" {
                    HookState::Missing("no reason".to_owned())
                } else {
                    HookState::Attached
                },
            })
            .collect();
        let [(probe, why)] = lacks(Cause::FirewallDrop, &probes)[..] else { panic!("one is missing") };
        assert_eq!((probe.hook.name, why), ("kfree_skb", "no reason"));
        assert!(lacks(Cause::EmptyReply, &probes).is_empty());
    }
}
