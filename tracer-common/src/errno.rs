//! Error numbers that the kernel leaves in a socket's `sk_err`.

/// Another process destroyed the socket through `SOCK_DESTROY` (`ss -K`).
pub const ECONNABORTED: u32 = 103;
