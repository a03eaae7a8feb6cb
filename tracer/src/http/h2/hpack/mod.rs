//! Header blocks (HPACK, RFC 7541), read also where the beginning of the connection is not known.

mod huffman;
mod table;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use table::Table;
pub(super) use table::Text;
use zeroize::Zeroizing;

/// What no decoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Why no field could be read.
enum Stop {
    /// The block ends here.
    Short,
    Invalid,
}

/// Reads the header blocks of one side, in their order.
pub(super) struct Decoder {
    table: Table,
    /// Largest table that the encoder may use, in bytes, where that is known.
    limit: Option<u32>,
}

impl Decoder {
    /// `is_beginning`: no block has come before; otherwise entries of the table may be unknown.
    pub(super) fn new(is_beginning: bool, limit: Option<u32>) -> Self {
        Self { table: Table::new(is_beginning), limit }
    }

    /// Blocks, or a part of one, were not seen: what the table holds is no longer known.
    pub(super) fn forget(&mut self) {
        self.table = Table::new(false);
    }

    /// Reads the fields of a block, of which only the beginning may be there (`is_whole`).
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        is_whole: bool,
        mut each: impl FnMut(&Text, &Text),
    ) -> Result<(), Invalid> {
        while !block.is_empty() {
            match self.field(&mut block) {
                Ok(Some((name, value))) => each(&name, &value),
                Ok(None) => {}
                Err(Stop::Short) if !is_whole => break,
                Err(_) => return Err(Invalid),
            }
        }
        Ok(())
    }

    /// Takes the next field off the block; `None`: a new size of the table.
    fn field(&mut self, block: &mut &[u8]) -> Result<Option<(Text, Text)>, Stop> {
        let first = *block.first().ok_or(Stop::Short)?;
        if first & 0x80 != 0 {
            let index = integer(block, 7)?;
            return self.entry(index).map(Some);
        }
        if first & 0xe0 == 0x20 {
            let size = integer(block, 5)?;
            if self.limit.is_some_and(|limit| size > limit) {
                return Err(Stop::Invalid);
            }
            self.table.resize(size);
            return Ok(None);
        }
        let indexed = first & 0x40 != 0;
        let index = integer(block, if indexed { 6 } else { 4 })?;
        let name = if index == 0 { string(block)? } else { self.entry(index)?.0 };
        let value = string(block)?;
        if indexed {
            self.table.insert(name.clone(), value.clone());
        }
        Ok(Some((name, value)))
    }

    fn entry(&self, index: u32) -> Result<(Text, Text), Stop> {
        usize::try_from(index).ok().and_then(|index| self.table.get(index)).ok_or(Stop::Invalid)
    }
}

/// Takes a number off the block that begins in the last `bits` of its first byte (RFC 7541 §5.1).
fn integer(block: &mut &[u8], bits: u32) -> Result<u32, Stop> {
    let (first, mut rest) = block.split_first().ok_or(Stop::Short)?;
    let full = (1 << bits) - 1;
    let mut value = u64::from(first & full);
    if value == u64::from(full) {
        for shift in (0..).step_by(7) {
            let (byte, behind) = rest.split_first().ok_or(Stop::Short)?;
            rest = behind;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 28 {
                return Err(Stop::Invalid);
            }
        }
    }
    *block = rest;
    u32::try_from(value).map_err(|_| Stop::Invalid)
}

/// Takes a string off the block (RFC 7541 §5.2).
fn string(block: &mut &[u8]) -> Result<Text, Stop> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = usize::try_from(integer(block, 7)?).map_err(|_| Stop::Invalid)?;
    let (text, rest) = block.split_at_checked(len).ok_or(Stop::Short)?;
    *block = rest;
    let text = if coded { huffman::decode(text).ok_or(Stop::Invalid)? } else { Zeroizing::new(text.to_vec()) };
    Ok(Text::Own(Rc::new(text)))
}
