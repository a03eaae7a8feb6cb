//! Which causes this host can show: what each needs of the hooks.

use super::{Probe, State};
use crate::diagnose::Cause;

/// The hooks without which a cause is not told, or reads as another one; those that nothing works without are not named.
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
        | Cause::HeadersTooLarge
        | Cause::ResponseStalled
        | Cause::TlsToPlainPort
        | Cause::TlsClientCertRequired
        | Cause::CertInvalid
        | Cause::TlsHandshakeFailed => &["payload_in", "payload_out"],
        Cause::ListenOverflow => &["payload_in"],
        Cause::FirewallDrop => &["kfree_skb"],
        Cause::FirewallReject => &["kfree_skb", "net_dev_queue", "payload_out"],
        Cause::ResponseTimeout | Cause::RequestStalled => &["tcp_receive_reset"],
        Cause::Crash | Cause::ProcessExit | Cause::EmptyReply | Cause::SilentDrop | Cause::Unexplained => &[],
    }
}

/// What of it is not attached on this host, with the reason.
#[must_use]
pub fn lacks(cause: Cause, probes: &[Probe]) -> Vec<(&Probe, &str)> {
    let needed = probes.iter().filter(|probe| needs(cause).contains(&probe.hook.name));
    needed
        .filter_map(|probe| match &probe.state {
            State::Attached => None,
            State::Off => Some((probe, "switched off")),
            State::Missing(why) => Some((probe, why.as_str())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::HOOKS, *};

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
                state: if hook.name == "kfree_skb" { State::Missing("no reason".to_owned()) } else { State::Attached },
            })
            .collect();
        let [(probe, why)] = lacks(Cause::FirewallDrop, &probes)[..] else { panic!("one is missing") };
        assert_eq!((probe.hook.name, why), ("kfree_skb", "no reason"));
        assert!(lacks(Cause::EmptyReply, &probes).is_empty());
    }
}
