//! One input for two sides of a connection.

/// What the first side sent, as long as the first two bytes (little endian) say, and what the other one sent.
pub fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)).min(rest.len()))
}
