//! Constants of the ABI: the bits and the closed sets of values that fields of the shared types hold.

/// Values of [`Header::kind`](crate::Header::kind): which record follows.
pub mod kinds {
    /// A [`ConnRecord`](crate::ConnRecord).
    pub const CONN: u32 = 1;
    /// A [`RefusedRecord`](crate::RefusedRecord).
    pub const REFUSED: u32 = 2;
    /// A [`ProcessRecord`](crate::ProcessRecord).
    pub const PROCESS: u32 = 3;
    /// An [`OomRecord`](crate::OomRecord).
    pub const OOM: u32 = 4;
    /// A [`SmallConnRecord`](crate::SmallConnRecord).
    pub const SMALL_CONN: u32 = 5;
    /// An [`AttemptRecord`](crate::AttemptRecord).
    pub const ATTEMPT: u32 = 6;
    /// An [`AttemptConnRecord`](crate::AttemptConnRecord).
    pub const ATTEMPT_CONN: u32 = 7;
    /// A [`ListenRecord`](crate::ListenRecord).
    pub const LISTEN: u32 = 8;
    /// An [`OriginRecord`](crate::OriginRecord).
    pub const ORIGIN: u32 = 9;
    /// An [`AnswerRecord`](crate::AnswerRecord).
    pub const ANSWER: u32 = 10;
    /// A [`BehindRecord`](crate::BehindRecord).
    pub const BEHIND: u32 = 11;
}

/// Values of [`ConnRecord::trigger`](crate::ConnRecord::trigger): the event that made the kernel emit the record.
pub mod triggers {
    /// The origin sent FIN first.
    pub const FIN: u32 = 1;
    /// The origin sent RST.
    pub const RST: u32 = 2;
    /// Request bytes arrived after the origin's FIN.
    pub const LATE: u32 = 3;
    /// The edge sent FIN first, while a response was owed to it or after it had received a faulty one.
    pub const EDGE_FIN: u32 = 4;
    /// The edge sent RST, in the same situation as [`EDGE_FIN`].
    pub const EDGE_RST: u32 = 5;
    /// One of the edge's timeouts has passed, and no FIN or RST of the edge has arrived.
    pub const OVERDUE: u32 = 6;
    /// The socket was destroyed without FIN or RST (`TCP_REPAIR`).
    pub const SILENT: u32 = 7;
    /// No failure is known: what does a sealed connection speak?
    pub const HELLO: u32 = 8;
    /// A short control frame passed on a connection that speaks HTTP/2: a stream may have been reset.
    pub const STREAM: u32 = 9;
    /// No failure is known: is the answer that begins one of 5xx? Only userspace sets it.
    pub const ANSWER: u32 = 10;
}

/// Bits of [`Conn::flags`](crate::Conn::flags).
pub mod conn_flags {
    /// The connection was already open when the tracer started.
    pub const SEEDED: u32 = 1;
    /// The peer, which is the edge, sent FIN.
    pub const PEER_FIN: u32 = 1 << 1;
    /// The origin sent FIN.
    pub const ORIGIN_FIN: u32 = 1 << 2;
    /// The origin is aborting the connection: its RST follows.
    pub const ABORTED: u32 = 1 << 3;
    /// A record of this connection's failure was emitted, or was lost because the ring buffer was full.
    pub const REPORTED: u32 = 1 << 4;
    /// The first inbound bytes were an HTTP/1 request line.
    pub const HTTP: u32 = 1 << 5;
    /// The first inbound bytes were a TLS record.
    pub const TLS: u32 = 1 << 6;
    /// The first inbound bytes were examined, whatever they were.
    pub const SNIFFED: u32 = 1 << 7;
    /// TLS application data arrived.
    pub const TLS_DATA: u32 = 1 << 8;
    /// The current request is GET or HEAD: no body follows.
    pub const BODYLESS: u32 = 1 << 9;
    /// The request before the current one was HEAD.
    pub const WAS_HEAD: u32 = 1 << 10;
    /// A request arrived before the response to the previous one was complete. Only userspace tells such requests
    /// apart.
    pub const PIPELINED: u32 = 1 << 11;
    /// An interim response (1xx) preceded the current response, whose first byte is the one after it.
    pub const INTERIM: u32 = 1 << 12;
    /// The origin sent bytes before the edge did. Those bytes count as the first response.
    pub const SPOKE_FIRST: u32 = 1 << 13;
    /// The current request is HEAD.
    pub const HEAD: u32 = 1 << 14;
    /// The edge's FIN or RST has arrived and is being evaluated.
    pub const LEAVING: u32 = 1 << 15;
    /// The connection switched to another protocol (WebSocket) after a 101: no further request follows.
    pub const UPGRADED: u32 = 1 << 16;
    /// The edge's TLS records are followed from one to the next: [`Conn::record_seq`](crate::Conn::record_seq).
    pub const RECORDS: u32 = 1 << 17;
    /// The edge has sent its last part of the TLS handshake: application data that follows is no part of it.
    pub const FINISHED: u32 = 1 << 18;
    /// Inside TLS, and its secrets are known: requests and responses are kept as ciphertext, and the first has begun.
    pub const SEALED: u32 = 1 << 19;
    /// A record was made of this exchange in order to have it judged (`gate::is_question`); it may be sound.
    pub const ASKED: u32 = 1 << 20;
    /// Its last records are kept: it has a [`Trail`](crate::trail::Trail).
    pub const TRAILED: u32 = 1 << 22;
    /// The agent found that it speaks HTTP/2.
    pub const H2: u32 = 1 << 23;
    /// In TLS 1.3 the edge has answered the request for its certificate with an empty one, by the sizes of its records.
    pub const NO_CERTIFICATE: u32 = 1 << 24;
    /// In TLS 1.3 the edge has sent a record before its Finished that may hold its certificate, by its size.
    pub const CERTIFICATE: u32 = 1 << 25;
}

/// Bits of [`Conn::origin_flags`](crate::Conn::origin_flags). Only the origin's side sets them.
pub mod origin_flags {
    /// The response does not begin with an HTTP/1 status line.
    pub const NOT_HTTP: u32 = 1;
    /// The end of the response's header section has not been seen yet.
    pub const IN_HEAD: u32 = 1 << 1;
    /// Connection without readable HTTP: the current inbound turn has been counted as an exchange.
    pub const COUNTED: u32 = 1 << 2;
    /// The kernel follows the response's chunks, if it has any, from one chunk size to the next:
    /// [`Conn::chunk_at`](crate::Conn::chunk_at).
    pub const IN_CHUNKS: u32 = 1 << 3;
    /// The last chunk was seen: what follows is the trailer section.
    pub const LAST_CHUNK: u32 = 1 << 4;
    /// Where a chunk had to begin, there was something else.
    pub const NO_CHUNK: u32 = 1 << 5;
    /// Mask of the three. All clear: the chunks could not be followed.
    pub const CHUNKS: u32 = IN_CHUNKS | LAST_CHUNK | NO_CHUNK;
    /// The origin closed while written bytes were still waiting to be sent. The response is judged once they are sent.
    pub const PENDING: u32 = 1 << 6;
    /// The TLS records of a sealed response are followed: [`Conn::chunk_at`](crate::Conn::chunk_at) is where the next
    /// one begins.
    pub const RECORDS_OUT: u32 = 1 << 7;
    /// The response's status is 500 to 599, and it is not known yet to be complete.
    pub const ERROR: u32 = 1 << 8;
    /// The edge offers HTTP/2 in its ClientHello, as far as that is known.
    pub const OFFERED_H2: u32 = 1 << 9;
}

/// Values of [`Attempt::kind`](crate::Attempt::kind): which packets were lost.
pub mod attempt {
    /// The edge's SYN.
    pub const SYN: u32 = 1;
    /// The origin's SYN-ACK.
    pub const SYN_ACK: u32 = 2;
    /// Data on an open connection, in either direction. At a listener also what follows the SYN: the bare ACK that
    /// completes a handshake, or the data sent with it or after it.
    pub const DATA: u32 = 3;
}

/// Values of [`Attempt::cause`](crate::Attempt::cause): what the host did with the packets.
pub mod taken {
    /// netfilter dropped them without an answer.
    pub const DROPPED: u32 = 1;
    /// netfilter answered with RST.
    pub const RESET: u32 = 2;
    /// netfilter answered with an ICMP error: [`Attempt::icmp`](crate::Attempt::icmp).
    pub const ICMP: u32 = 3;
    /// The listener's accept queue was full, and the host dropped the packet.
    pub const QUEUE: u32 = 4;
    /// The listener's accept queue was full, and the host answered with RST (`tcp_abort_on_overflow`).
    pub const QUEUE_RESET: u32 = 5;
    /// Nothing in this host took them: the kernel sent a SYN-ACK again, because no answer to it had come.
    pub const LOST: u32 = 6;
    /// The listener's SYN queue was full and SYN cookies are off: the host dropped the SYN.
    pub const SYN_QUEUE: u32 = 7;
}

/// Values of [`Attempt::hook`](crate::Attempt::hook): the netfilter hook that took the packets.
pub mod hook {
    pub const UNKNOWN: u32 = 0;
    /// Prerouting, or the ingress hook of a device.
    pub const BEFORE_ROUTING: u32 = 1;
    pub const INPUT: u32 = 2;
    pub const OUTPUT: u32 = 3;
    /// Forward: the host routes the packets to another namespace or machine, for example to a container.
    pub const FORWARD: u32 = 4;
}

/// Values of [`Attempt::state`](crate::Attempt::state).
pub mod attempt_state {
    /// The edge may still be waiting: it is not decided yet whether the loss did harm.
    pub const WAITING: u32 = 0;
    /// The loss did no harm, for example because a retransmission got through.
    pub const HARMLESS: u32 = 1;
    /// The loss was reported: an [`AttemptRecord`](crate::AttemptRecord) was emitted, or the ring buffer was full.
    pub const REPORTED: u32 = 2;
}

/// Return values of the programs `inspect_connection` and `inspect_attempt`, which the agent runs by
/// `BPF_PROG_TEST_RUN`.
pub mod answers {
    /// Nothing to report. Of a connection: nothing changes before its next request.
    pub const SETTLED: u32 = 0;
    /// Nothing to report yet: inspect again later.
    pub const LATER: u32 = 1;
    /// The program has emitted a record.
    pub const REPORTED: u32 = 2;
}

/// Bits of [`LastSignal::flags`](crate::LastSignal::flags).
pub mod sig_flags {
    /// The process sent the signal to itself.
    pub const SELF: u32 = 1;
    /// The kernel raised the signal (a fault, a limit), not a process.
    pub const KERNEL: u32 = 1 << 1;
    /// The sender is the target's master: its parent process, running the same program.
    pub const MASTER: u32 = 1 << 2;
    /// Shortly before, another process had signalled the sender to stop or reload:
    /// [`LastSignal::orderer`](crate::LastSignal::orderer).
    pub const ORDERED: u32 = 1 << 3;
    /// No signal to the process was seen. Its master had received a signal to stop or reload, and may have passed that
    /// on by other means (a pipe, a channel).
    pub const PASSED_ON: u32 = 1 << 4;
}

/// Bits of [`Task::flags`](crate::Task::flags) that the tracer uses: `PF_*` of `include/linux/sched.h`, unchanged since
/// long before 5.10.
pub mod pf {
    /// The task is exiting.
    pub const EXITING: u32 = 0x4;
    /// The task was forked and has not called `execve` since.
    pub const FORKNOEXEC: u32 = 0x40;
}

/// Values of [`ConnRecord::rst_reason`](crate::ConnRecord::rst_reason) beside the kernel's own.
pub mod rst {
    /// There was no RST, or the kernel gives no reason.
    pub const UNKNOWN: u32 = u32::MAX;
}

/// Slots of the per-CPU counters of losses.
pub mod lost {
    /// Records lost because the ring buffer was full.
    pub const RING: u32 = 0;
    /// Connections not watched because the table of connections was full.
    pub const CONNECTIONS: u32 = 1;
    /// Processes not remembered because the table of owners was full.
    pub const OWNERS: u32 = 2;
    /// Connections whose first bytes were not kept because no [`Heads`](crate::Heads) was left.
    pub const HEADS: u32 = 3;
    /// Secrets inside TLS that were not kept because their map was full, or because they could not be read.
    pub const TLS_KEYS: u32 = 4;
    /// Secrets inside TLS whose label could not be read.
    pub const TLS_LABELS: u32 = 5;
    /// Sealed exchanges that stay unjudged, because too many came at once.
    pub const QUESTIONS: u32 = 6;
    /// Answers of 5xx of which no record was made: too many in a second, or the ring buffer was full.
    pub const ORIGIN_ERRORS: u32 = 7;
    /// The first of the slots for failures among the lost records, one for each of the seven statuses in `unexplained`.
    pub const FAILURES: u32 = 8;
    /// Number of slots.
    pub const SLOTS: u32 = FAILURES + 7;
}

/// Hooks at which a second program (a twin) runs the same code, for the runs of the first that the kernel skips. Each
/// value is the hook's slot in the counters of such runs.
pub mod twins {
    pub const SET_STATE: u32 = 0;
    pub const READ: u32 = 1;
    pub const SEND_RESET: u32 = 2;
    pub const PROCESS_EXIT: u32 = 3;
    pub const SEND_LENGTH: u32 = 4;
    pub const RECV_LENGTH: u32 = 5;
    /// Number of slots.
    pub const HOOKS: u32 = 6;
}
