//! Why the origin itself answered 500 to 599, and the spelling of each cause.

use super::super::spelled::spelled;

spelled! {
    /// What happened behind the process that answered.
    OriginCause {
        /// The OOM killer took the upstream process.
        OomKill = "oom_kill",
        /// It died of a fault or an abort of its own.
        Crash = "crash",
        /// Its own master ended it.
        SupervisorKill = "supervisor_kill",
        /// Somebody else's signal ended it.
        ProcessKilled = "process_killed",
        /// It exited with the request in hand.
        ProcessExit = "process_exit",
        /// Nobody took the connection.
        UpstreamRefused = "upstream_refused",
        /// It gave no answer, or no further one, in the proxy's own time.
        UpstreamTimeout = "upstream_timeout",
        /// A living upstream hung up before its answer was complete.
        UpstreamClosed = "upstream_closed",
        /// A living upstream reset the connection.
        UpstreamReset = "upstream_reset",
        /// It answered, and the proxy did not take the answer.
        UpstreamInvalid = "upstream_invalid",
        /// It lies on another host, which could not be reached.
        UpstreamUnreachable = "upstream_unreachable",
        /// No upstream failed: the process that answered, or a living upstream, chose this status.
        ApplicationError = "application_error",
        /// The evidence does not say.
        Unexplained = "unexplained",
    }
}
