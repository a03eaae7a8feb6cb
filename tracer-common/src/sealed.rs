//! Sight inside TLS: what the kernel keeps of a connection whose secrets the server's TLS library announced, or whose
//! secrets a key log may hold.
//!
//! Nothing is decrypted in the kernel. It keeps ciphertext where it keeps plaintext of other connections, and the
//! secrets in a map of their own, from which the agent fetches them when the connection fails.

use crate::limits::{RESPONSE_LEN, SEALED_TAIL_LEN};

/// Which secret: index into [`TlsKeys::secrets`].
pub mod secret {
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`: opens what the edge sends before its Finished, itself included.
    pub const CLIENT_HANDSHAKE: usize = 0;
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    pub const SERVER_HANDSHAKE: usize = 1;
    /// `CLIENT_TRAFFIC_SECRET_0`: opens requests.
    pub const CLIENT_TRAFFIC: usize = 2;
    /// `SERVER_TRAFFIC_SECRET_0`: opens responses.
    pub const SERVER_TRAFFIC: usize = 3;
    /// `CLIENT_RANDOM`, the master secret of TLS 1.2. It takes the place of the first.
    pub const MASTER: usize = CLIENT_HANDSHAKE;
    /// Slots.
    pub const SLOTS: usize = 4;

    /// [`Conn::keyed`](crate::Conn::keyed): the session is one of TLS 1.2. It has a master secret, or AES keys, and not
    /// the secrets of TLS 1.3.
    pub const IS_MASTER: u16 = 1 << 4;
    /// [`Conn::keyed`](crate::Conn::keyed): a key log may hold the secrets. The kernel has none of it.
    pub const BY_KEYLOG: u16 = 1 << 5;
    /// [`Conn::keyed`](crate::Conn::keyed): there are AES keys, of which some may be the session's.
    pub const AES_KEYS: u16 = 1 << 6;
    /// [`Conn::keyed`](crate::Conn::keyed): all that a probe may show.
    pub const ANNOUNCED: u16 = ((1 << SLOTS) - 1) | AES_KEYS;
    /// [`Conn::keyed`](crate::Conn::keyed): all secrets of TLS 1.3 that open application data.
    pub const TRAFFIC: u16 = 1 << CLIENT_TRAFFIC | 1 << SERVER_TRAFFIC;
}

/// Longest secret in bytes: that of a SHA-384 suite, or a master secret.
pub const SECRET_LEN: usize = 48;

/// Size of the random numbers in the two hello messages, bytes.
pub const RANDOM_LEN: usize = 32;

/// Longest AES key in bytes.
pub const AES_KEY_LEN: usize = 32;

/// AES keys that are kept of one connection. TLS 1.3 has four, TLS 1.2 two; AWS-LC's generator of random numbers has
/// others, as many as threads take part in a handshake.
pub const AES_KEYS: usize = 8;

shared! {
    /// Names a connection for good: the address of its socket is used again.
    #[derive(Default)]
    pub struct KeysOf {
        /// [`Conn::key`](crate::Conn::key).
        pub key: u64,
        /// [`Conn::opened_ns`](crate::Conn::opened_ns).
        pub opened_ns: u64,
    }
    size: 16
}

/// The AES keys that a process took while it did the handshake of one connection, the oldest first. Which of them
/// protects what is not known. Has no `Debug`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy)]
pub struct AesKeys {
    pub keys: [[u8; AES_KEY_LEN]; AES_KEYS],
    /// Where in its memory the process keeps what it made of each. 0: on the stack, from where it moves on.
    pub schedules: [u64; AES_KEYS],
    /// Bytes of each key: 16 or 32. 0: it was no key of a connection, and has been wiped.
    pub lens: [u8; AES_KEYS],
    /// How many there are.
    pub count: u32,
    /// The one that was taken last, counted from 1. 0: none.
    pub last: u32,
}

const _: () = assert!(size_of::<AesKeys>() == 336);

/// The secrets of one connection. Has no `Debug`, so that no log can hold them.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy)]
pub struct TlsKeys {
    /// By [`secret`].
    pub secrets: [[u8; SECRET_LEN]; secret::SLOTS],
    /// Bytes of each that are valid. 0: it was not announced.
    pub lens: [u8; secret::SLOTS],
    /// 1: the first slot holds a master secret.
    pub is_master: u8,
    /// 1: the two random numbers and the suite below were kept.
    pub has_hellos: u8,
    /// The cipher suite of the ServerHello, as on the wire. 0: not known.
    pub suite: [u8; 2],
    pub client_random: [u8; RANDOM_LEN],
    pub server_random: [u8; RANDOM_LEN],
    /// Of a library that announces no secrets.
    pub aes: AesKeys,
}

const _: () = assert!(size_of::<TlsKeys>() == 600);

shared! {
    /// The end of a sealed response, kept behind its first bytes in [`Heads::response`](crate::Heads::response).
    pub struct SealedEnd {
        /// Records that have begun since the response began.
        pub records: u32,
        /// Where the last of them begins, in bytes from the response's start.
        pub record_at: u32,
        /// Where the one before it begins.
        pub before_at: u32,
        /// Where `tail` begins, in bytes from the response's start.
        pub tail_at: u32,
        /// Bytes of `tail` that are valid.
        pub tail_len: u32,
        /// First bytes of a record header that lies across two packets, the first one lowest.
        pub part: u32,
        /// How many: 0 to 4.
        pub part_len: u32,
        /// Bytes of `before` that are valid.
        pub before_len: u32,
        /// The last bytes of the packet before the last, if that one is shorter than a tail.
        pub before: [u8; SEALED_TAIL_LEN],
        /// The last bytes of the last packet.
        pub tail: [u8; SEALED_TAIL_LEN],
    }
    size: SEALED_END_LEN
}

/// Size of [`SealedEnd`].
pub const SEALED_END_LEN: usize = 32 + 2 * SEALED_TAIL_LEN;

/// Bytes that are kept of a sealed response's beginning.
pub const SEALED_RESPONSE_LEN: usize = RESPONSE_LEN - SEALED_END_LEN;
