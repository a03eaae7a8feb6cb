//! Lengths, capacities and thresholds that both sides share. Every table is bounded.
//!
//! Memory that the maps take from the start, whatever the traffic: 31 MB, of which the table of connections is 10.7 MB,
//! that of upstream connections with its indexes 8 MB, the pool of heads 4 MiB and the ring buffer 4 MiB. Each CPU adds
//! 100 kB of counters and buffers. The tests in `memory.rs` hold these figures.

use crate::cloudflare;

/// Size of a task's name in bytes, the terminating NUL included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// Bytes that are kept of the current request, per connection.
pub const REQUEST_LEN: usize = 1976;

/// Bytes that are kept of the current response, per connection.
pub const RESPONSE_LEN: usize = 2048;

/// Bytes of the request in a [`SmallConnRecord`](crate::SmallConnRecord).
pub const SMALL_REQUEST_LEN: usize = 960;

/// Bytes of the response in a [`SmallConnRecord`](crate::SmallConnRecord).
pub const SMALL_RESPONSE_LEN: usize = 512;

/// Bytes that are kept of a long response's end: enough to recognise the last chunk of a chunked body.
pub const TAIL_LEN: usize = 8;

/// Bytes that are kept of the end of a sealed response (one inside TLS whose secrets are known): enough for the record
/// of a last chunk, in any version of TLS, and for the last lines of a long header section with a short body.
pub const SEALED_TAIL_LEN: usize = 128;

/// A first response inside TLS that is shorter, in bytes on the wire, may be session tickets alone.
pub const TICKETS_LEN: u32 = 1_200;

/// Records a second and CPU that are made of sealed exchanges in order to have them judged. Beyond that they stay
/// unjudged, which is counted.
pub const QUESTIONS: u64 = 100;

/// Handshakes of edge connections that are remembered while their secrets have yet to come.
pub const HANDSHAKES: u32 = 4_096;

/// Slots for edge connections, preallocated: 10.7 MB with their tags. While a connection is open and its bytes are
/// examined (plaintext HTTP, TLS handshake), its heads take 4 KiB more. A power of two.
pub const CONNECTION_PLACES: u32 = 32_768;

/// Connections that fit without loss. Above 5/8 load, an insert may find all places in its four buckets taken.
pub const CONNECTIONS: u32 = CONNECTION_PLACES / 8 * 5;

/// Flag in the result of the program `find_connection`: nothing found within its step limit. Run it again from the
/// place in the low bits.
pub const GO_ON: u32 = 1 << 31;

/// Heads in the preallocated pool, 4 KiB each. Connections beyond that allocate theirs.
pub const POOLED_HEADS: u32 = 1_024;

/// Connections that the origin closed while idle. They are remembered for a while, because a request may have been on
/// its way.
pub const CLOSED_CONNECTIONS: u32 = 4_096;

/// Address ranges of the edge.
pub const RANGES: u32 = 4_096;

/// Local ports with counters of their own. A power of two.
pub const PORTS: u32 = 256;

/// Local ports that the user can name; also ports that had a listener when the tracer started.
pub const WATCHED_PORTS: u32 = 1_024;

/// Attempts, to connect or to send, whose packets this host dropped or refused. They are kept until the edge's timeout
/// has passed.
pub const ATTEMPTS: u32 = 4_096;

/// Listening ports whose process is remembered.
pub const LISTENERS: u32 = 4_096;

/// Slots per CPU and hook in which a program notes its run for its twin. Threads whose ids are equal modulo this share
/// one.
pub const FIRST_RAN_FOR: u32 = 256;

/// Slots that count the turns of processes. Processes whose pids are equal modulo this share one.
pub const TURNS: u32 = 4_096;

/// Processes that have read from edge connections.
pub const OWNERS: u32 = 4_096;

/// Recent terminating signals, one per target process and signal number.
pub const SIGNALS: u32 = 1_024;

/// Processes whose last fault (SIGSEGV and the like) is remembered.
pub const FAULTS: u32 = 1_024;

/// Recent victims of the OOM killer.
pub const OOM_VICTIMS: u32 = 256;

/// Slots that count RSTs by reason. The last one counts those without a reason.
pub const RESET_REASONS: u32 = 64;

/// Size of the ring buffer, in bytes.
pub const RING_BYTES: u32 = 4 << 20;

/// Size of the smallest TLS record, or read, that counts as a request where bytes can't be read, bytes. A request in
/// HTTP/1 is larger. Alerts, WebSocket close frames and HTTP/2 control frames are smaller (WINDOW_UPDATE takes 35 to
/// 42 bytes, PING 39 to 46), also a few of them in one record. A request in HTTP/2 on a used connection may be smaller,
/// too: it looks like control frames, and does not count.
pub const MIN_OPAQUE_REQUEST: u32 = 100;

/// Most bytes that an encrypted TLS alert takes on the wire (31 with TLS 1.2, 24 with TLS 1.3). So few bytes from the
/// origin are no response.
pub const MAX_TLS_ALERT: u32 = 31;

/// The slack of the edge's read timeout, as a fraction: one in so many parts. Its clock may start at its request or at
/// the last byte of a response, which this host cannot tell apart, so a wait counts as the whole timeout from one part
/// below it on, and an edge leaves because of it up to one part after it.
pub const READ_SLACK_PARTS: u32 = 8;

/// The slack of the edge's write timeout, for an edge that leaves: one in so many parts. Its clock starts when its own
/// send buffer is full. From that, its kernel still fills the window, down to the last bytes, which only a probe of a
/// shut window brings, a few hundred milliseconds later.
pub const WRITE_SLACK_PARTS: u32 = 4;

/// What was sent again this often without an acknowledgement is lost on the way, whatever the time that took. (Three
/// times take 1.4 s or more.)
pub const LOST_RETRANSMITS: u8 = 3;

/// A SYN-ACK that was sent again this often without an answer is lost. (An edge, or who uses its address, may leave
/// after its SYN.)
pub const LOST_SYN_ACKS: u32 = 2;

/// A connection that is reset within this time of its opening counts as a failure even if no request arrived,
/// nanoseconds: the edge opens connections only to send a request at once.
pub const FRESH_NS: u64 = 1_000_000_000;

/// Upstream connections that are followed at once.
pub const UPSTREAMS: u32 = 8_192;

/// Upstream connections whose owner's end is established and whose server's end has yet to be.
pub const ESTABLISHING: u32 = 1_024;

/// Bytes that are kept of an upstream's answer: enough for its status line, or for the first fields of FastCGI's, and
/// for the whole of a short header section. In rows, since the kernel programs begin with zeros.
pub const UPSTREAM_HEAD_LEN: usize = 32 * UPSTREAM_HEAD_ROWS;
pub const UPSTREAM_HEAD_ROWS: usize = 8;

/// Most bytes of a unix socket's path (`sun_path`), in rows as well.
pub const SOCKET_PATH_LEN: usize = 27 * SOCKET_PATH_ROWS;
pub const SOCKET_PATH_ROWS: usize = 4;

/// Threads whose latest edge connections are remembered. Threads whose ids are equal modulo this share a slot.
pub const THREADS: u32 = 4_096;

/// Edge connections that are remembered of a thread, the latest ones.
pub const THREAD_EDGES: usize = 4;

/// Processes that serve upstream connections.
pub const SERVERS: u32 = 4_096;

/// Statuses from 500 to 599, each with a counter.
pub const ORIGIN_STATUSES: u32 = 100;

/// Records a second that are made of the origin's own answers of 5xx. Beyond that they are counted without a cause.
pub const ORIGIN_RECORDS: u64 = 1_000;

/// Of these, those a second that are told in detail. The rest are counted, with their cause.
pub const ORIGIN_DETAILS: u64 = 100;

/// How long a signal explains the end of the process that received it, nanoseconds: one to stop, or one of a fault
/// whose handler has not returned.
pub const ORDER_NS: u64 = 30_000_000_000;

/// Inclusive upper bounds of the buckets for the time from a request's last byte to its response's first, nanoseconds.
/// One more bucket takes longer times. The last bound is the edge's read timeout.
pub const FIRST_BYTE_BOUNDS_NS: [u64; 17] = [
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    cloudflare::READ_TIMEOUT.as_nanos() as u64,
];

/// Inclusive upper bounds of the buckets for the size of a response's header section, bytes. One more bucket takes
/// larger sections. The last bound is the edge's limit.
pub const HEADER_BOUNDS: [u32; 10] =
    [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, cloudflare::HEADER_LIMIT];
