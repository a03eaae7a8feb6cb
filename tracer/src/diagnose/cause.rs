//! The causes, symptoms and certainties: one spelling each, used by records, labels, docs and tests.

use tracer_common::unexplained;

use super::spelled::spelled;

spelled! {
    /// The one best reason why the edge's request failed.
    Cause {
        /// The OOM killer took the process that held the connection.
        OomKill = "oom_kill",
        /// The process died of a fault or abort of its own.
        Crash = "crash",
        /// The process was ended by its own master (worker timeout).
        SupervisorKill = "supervisor_kill",
        /// The process was ended by a signal from outside (operator, deploy, init system).
        ProcessKilled = "process_killed",
        /// The process exited of its own accord with a request in hand.
        ProcessExit = "process_exit",
        /// The listening socket went away with the connection in its accept queue.
        ListenerClosed = "listener_closed",
        /// Nobody listens: RST to the SYN.
        PortClosed = "port_closed",
        /// An idle kept-alive connection was closed just as the next request arrived.
        KeepaliveRace = "keepalive_race",
        /// A fresh connection was closed before its first request arrived.
        ClosedBeforeRequest = "closed_before_request",
        /// Closed with request bytes unread, so the kernel sent RST.
        ClosedUnread = "closed_unread",
        /// The process aborted the connection on purpose before any response byte.
        AppReset = "app_reset",
        /// The request was read, and the connection closed with no response byte.
        EmptyReply = "empty_reply",
        /// Closed or reset in the middle of a request, with no response byte.
        RequestCut = "request_cut",
        /// FIN inside the response's header section.
        TruncatedHeaders = "truncated_headers",
        /// FIN before the response's body was whole.
        TruncatedBody = "truncated_body",
        /// RST after part of the response.
        ResetMidResponse = "reset_mid_response",
        /// Bytes that no recipient takes for an HTTP response.
        MalformedResponse = "malformed_response",
        /// HTTP/2 was agreed upon and then broken: the stream was reset or refused, or what came is no HTTP/2.
        Http2ProtocolError = "http2_protocol_error",
        /// A header section above the edge's limit.
        HeadersTooLarge = "headers_too_large",
        /// No response byte before the edge's read timeout.
        ResponseTimeout = "response_timeout",
        /// The response began, and then stopped until the edge's read timeout.
        ResponseStalled = "response_stalled",
        /// The origin stopped reading the request until the edge's write timeout.
        RequestStalled = "request_stalled",
        /// The connection vanished with neither FIN nor RST.
        SilentDrop = "silent_drop",
        /// What was sent to the edge got lost on its way: nothing of it was acknowledged.
        ReplyLost = "reply_lost",
        /// The accept queue, or the SYN queue, was full.
        ListenOverflow = "listen_overflow",
        /// A local firewall dropped the edge's packets, or the answers to them.
        FirewallDrop = "firewall_drop",
        /// A local firewall answered with RST or ICMP.
        FirewallReject = "firewall_reject",
        /// The edge spoke TLS to a port that speaks plain HTTP.
        TlsToPlainPort = "tls_to_plain_port",
        /// The origin demands a client certificate that the edge did not send.
        TlsClientCertRequired = "tls_client_cert_required",
        /// The edge does not accept the certificate.
        CertInvalid = "cert_invalid",
        /// The origin refused or dropped the TLS handshake.
        TlsHandshakeFailed = "tls_handshake_failed",
        /// The edge was left without an answer and the evidence does not say why.
        Unexplained = "unexplained",
    }
}

impl Cause {
    /// Every `edge_status` that this cause can carry (`None`: the visitor gets no 52x, only a cut body).
    #[must_use]
    pub const fn edge_statuses(self) -> &'static [Option<u16>] {
        match self {
            Self::PortClosed => &[Some(521)],
            Self::FirewallReject => &[Some(521), Some(520), Some(523)],
            Self::FirewallDrop => &[Some(522)],
            Self::ListenOverflow => &[Some(522), Some(520)],
            Self::ResponseTimeout | Self::RequestStalled => &[Some(524)],
            Self::ReplyLost => &[Some(524), Some(522), Some(525), None],
            Self::ResponseStalled | Self::SilentDrop => &[Some(524), None],
            Self::TlsToPlainPort | Self::TlsHandshakeFailed => &[Some(525)],
            Self::TlsClientCertRequired => &[Some(520), Some(525)],
            Self::CertInvalid => &[Some(526)],
            // 524: the socket lived on in another process, or the edge had left by then. 525: a process behind a proxy
            // that passed on a handshake.
            Self::OomKill | Self::Crash | Self::SupervisorKill | Self::ProcessKilled | Self::ProcessExit => {
                &[Some(520), Some(524), Some(525), None]
            }
            Self::TruncatedBody | Self::ResetMidResponse | Self::MalformedResponse | Self::Http2ProtocolError => {
                &[Some(520), None]
            }
            Self::ListenerClosed
            | Self::KeepaliveRace
            | Self::ClosedBeforeRequest
            | Self::ClosedUnread
            | Self::AppReset
            | Self::EmptyReply
            | Self::RequestCut
            | Self::TruncatedHeaders
            | Self::HeadersTooLarge => &[Some(520)],
            Self::Unexplained => &unexplained::STATUSES,
        }
    }
}

spelled! {
    /// How far the evidence carries.
    Certainty {
        /// The kernel showed it.
        Certain = "certain",
        /// Inferred in one step.
        Likely = "likely",
        /// One of several readings.
        Possible = "possible",
    }
}

spelled! {
    /// What was on the wire.
    Symptom {
        FinNoResponse = "fin_no_response",
        RstNoResponse = "rst_no_response",
        FinBeforeRequest = "fin_before_request",
        RstBeforeRequest = "rst_before_request",
        FinInResponse = "fin_in_response",
        RstInResponse = "rst_in_response",
        Refused = "refused",
        IcmpUnreachable = "icmp_unreachable",
        NoSynack = "no_synack",
        NoAck = "no_ack",
        BadResponse = "bad_response",
        HeadersTooLarge = "headers_too_large",
        H2Broken = "h2_broken",
        NoResponse = "no_response",
        StalledResponse = "stalled_response",
        ZeroWindow = "zero_window",
        TlsAlert = "tls_alert",
        TlsRst = "tls_rst",
        TlsFin = "tls_fin",
        TlsGarbage = "tls_garbage",
        TlsNoAnswer = "tls_no_answer",
        TlsAlertLate = "tls_alert_late",
        TlsEdgeAlert = "tls_edge_alert",
    }
}

spelled! {
    /// How a process ended.
    EndHow {
        /// The OOM killer took it.
        Oom = "oom",
        /// Of a fault or abort of its own.
        Crash = "crash",
        /// By a signal from outside.
        Killed = "killed",
        /// Of its own accord.
        Exit = "exit",
    }
}
