//! The causes, symptoms and certainties: one spelling each, used by records, labels, docs and tests.

use serde::Serialize;

/// Makes an enum whose variants have one spelling each, listed in declaration order.
macro_rules! spelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The spelling in records, labels and documents.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

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
            Self::OomKill
            | Self::Crash
            | Self::SupervisorKill
            | Self::ProcessKilled
            | Self::ProcessExit
            | Self::Unexplained => &[Some(520), None],
            _ => &[Some(520)],
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
    }
}
