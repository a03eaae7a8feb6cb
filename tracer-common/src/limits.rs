//! Lengths and map capacities that both sides share. All tables are bounded.

use crate::cloudflare;

/// Length of a task's name, the terminating NUL included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// Bytes kept of the head of the current request and of the current response, per connection.
pub const REQUEST_LEN: usize = 1976;
pub const RESPONSE_LEN: usize = 2048;

/// The same in the small form of a record.
pub const SMALL_REQUEST_LEN: usize = 960;
pub const SMALL_RESPONSE_LEN: usize = 512;

/// Last bytes kept of a response, enough to see the last chunk of a chunked body.
pub const TAIL_LEN: usize = 8;

/// Places for edge connections: 10 MB of kernel memory, which are there from the start. Each connection takes 4 KiB more while
/// it is open, speaks HTTP in the clear (or shakes hands over TLS) and its bytes are looked at. A power of two.
pub const CONNECTION_PLACES: u32 = 32_768;

/// Edge connections watched at once without one that finds no place: five in eight of the places.
pub const CONNECTIONS: u32 = CONNECTION_PLACES / 8 * 5;

/// Set in what the program that goes through their table answers, with the place to go on from, where it has found none yet.
pub const GO_ON: u32 = 1 << 31;

/// The first so many of these take their 4 KiB from an array, which is there from the start.
pub const POOLED_HEADS: u32 = 1_024;

/// Connections that the origin closed while idle, remembered in case a request was on its way.
pub const CLOSED_CONNECTIONS: u32 = 4_096;

/// Edge ranges.
pub const RANGES: u32 = 4_096;

/// Local ports that are counted one by one; a power of two.
pub const PORTS: u32 = 256;

/// Local ports that can be named to be watched, and that were listened on at the start.
pub const WATCHED_PORTS: u32 = 1_024;

/// Attempts to connect, and requests, that vanished in this host, waiting for the edge's timeout.
pub const ATTEMPTS: u32 = 4_096;

/// Listening ports whose process is known.
pub const LISTENERS: u32 = 4_096;

/// Threads on a CPU whose run of a program is told to its twin, those with equal numbers modulo this as one.
pub const WENT_FIRST: u32 = 256;

/// Slots that count the turns a process began, shared by processes whose pids are equal modulo this.
pub const TURNS: u32 = 4_096;

/// Processes that hold edge connections.
pub const OWNERS: u32 = 4_096;

/// Recent terminating signals, by target and signal number.
pub const SIGNALS: u32 = 1_024;

/// Recent OOM victims.
pub const OOM_VICTIMS: u32 = 256;

/// Reset reasons that are counted one by one; the last slot counts those without a reason.
pub const RESET_REASONS: u32 = 64;

/// Size of the ring buffer, in bytes.
pub const RING_BYTES: u32 = 4 << 20;

/// Fewest inbound bytes that can be a request where the bytes can't be read (TLS, no payload sight): an edge's request
/// is never shorter, while close alerts, WebSocket close frames and HTTP/2 housekeeping are.
pub const MIN_OPAQUE_REQUEST: u32 = 100;

/// Most bytes that a TLS alert takes on the wire, encrypted (TLS 1.2: 31, TLS 1.3: 24): not an answer.
pub const MAX_TLS_ALERT: u32 = 31;

/// A fresh connection that is reset sooner than this had a request coming, in nanoseconds: the edge connects to send.
pub const FRESH_NS: u64 = 1_000_000_000;

/// How long a fault that a handler took explains the exit that follows, in nanoseconds: the handler writes its backtrace
/// and exits. Longer ago it was survived (a JVM's null checks).
pub const FAULT_NS: u64 = 1_000_000_000;

/// How long an earlier order to stop explains a process's end, in nanoseconds.
pub const ORDER_NS: u64 = 30_000_000_000;

/// Upper bounds, inclusive, of the buckets for the time from a request's last byte to its response's first, nanoseconds;
/// one more bucket takes the rest. The last is the edge's read timeout.
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

/// Upper bounds, inclusive, of the buckets for the size of a response's header section, bytes; one more bucket takes the
/// rest. The last is the edge's limit.
pub const HEADER_BOUNDS: [u32; 10] =
    [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, cloudflare::HEADER_LIMIT];
