//! Error numbers that the kernel leaves in a socket's `sk_err`.

/// Nobody listens there.
pub const ECONNREFUSED: u32 = 111;

/// Another process destroyed the socket through `SOCK_DESTROY` (`ss -K`).
pub const ECONNABORTED: u32 = 103;
