//! What one side allows the other (RFC 9113 §6.5.2).

use super::error::ConnectionError;
use super::frame;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
/// Largest window, in bytes.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The settings that one side announced. Of sizes the largest ever: since when the other side knows of a smaller one
/// can't be told.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// Longest frame that it takes, in bytes.
    pub(super) max_len: u32,
    /// Largest table of HPACK that it keeps, in bytes.
    pub(super) max_table: u32,
    /// It takes promises.
    pub(super) push: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_len: frame::MAX_LEN, max_table: 4096, push: true }
    }
}

impl Settings {
    /// Reads what follows the header of SETTINGS.
    pub(super) fn set(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                HEADER_TABLE_SIZE => self.max_table = self.max_table.max(value),
                ENABLE_PUSH if value <= 1 => self.push = value == 1,
                INITIAL_WINDOW_SIZE if value <= MAX_WINDOW => {}
                MAX_FRAME_SIZE if (frame::MAX_LEN..1 << 24).contains(&value) => {
                    self.max_len = self.max_len.max(value);
                }
                ENABLE_PUSH | INITIAL_WINDOW_SIZE | MAX_FRAME_SIZE => return Err(ConnectionError::Settings),
                _ => {}
            }
        }
        Ok(())
    }
}
