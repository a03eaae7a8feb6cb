//! Error numbers that the kernel leaves in a socket's `sk_err`.

/// A tool destroyed the connection (`ss -K`).
pub const ECONNABORTED: u32 = 103;
