//! A frame of which more and more comes.

use zeroize::Zeroizing;

use super::error::ConnectionError;
use super::frame::{self, Header};

/// A frame as far as it has come.
pub(super) struct Frame {
    pub(super) header: Header,
    /// What came behind the header, up to the first gap; of DATA the first byte only.
    kept: Zeroizing<Vec<u8>>,
    /// Bytes that came behind the header, kept or not.
    passed: u32,
    has_gap: bool,
}

impl Frame {
    pub(super) fn new(header: Header) -> Self {
        Self { header, kept: Zeroizing::new(Vec::new()), passed: 0, has_gap: false }
    }

    /// Bytes that have not come yet.
    pub(super) const fn left(&self) -> u32 {
        self.header.len - self.passed
    }

    /// Takes as much of the text as belongs to the frame, and gives the rest.
    pub(super) fn take<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let (own, rest) = text.split_at(most.min(text.len()));
        let kept = match self.header.kind {
            _ if self.has_gap => 0,
            frame::DATA => own.len().min(1 - self.kept.len()),
            _ => own.len(),
        };
        append(&mut self.kept, &own[..kept]);
        self.passed += u32::try_from(own.len()).unwrap_or_default();
        rest
    }

    /// Passes over bytes that were not kept, no more of them than are left.
    pub(super) fn skip(&mut self, len: u32) {
        self.passed += len.min(self.left());
        self.has_gap |= len > 0;
    }

    /// Everything behind the header that came was kept; of DATA this says nothing.
    pub(super) const fn is_kept(&self) -> bool {
        !self.has_gap
    }

    /// What was kept of it.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Length of the padding; `None`: it was not kept, or has not come.
    fn padding(&self) -> Option<u32> {
        if self.header.is_padded() { self.kept.first().map(|len| u32::from(*len)) } else { Some(0) }
    }

    /// Bytes of the body in what came of a DATA frame; `None`: how much of it is padding is not known.
    pub(super) fn body(&self) -> Option<u64> {
        if self.passed == 0 {
            return Some(0);
        }
        let length_byte = u32::from(self.header.is_padded());
        let body = self.header.len.saturating_sub(length_byte).saturating_sub(self.padding()?);
        Some(u64::from(body.min(self.passed.saturating_sub(length_byte))))
    }

    /// No more padding than fits.
    pub(super) fn check_padding(&self) -> Result<(), ConnectionError> {
        let before = self.header.before_fragment() as u64 + u64::from(self.header.is_padded());
        let needed = before + u64::from(self.padding().unwrap_or_default());
        if needed <= u64::from(self.header.len) { Ok(()) } else { Err(ConnectionError::Padding) }
    }

    /// What was kept of the fragment of a header block.
    pub(super) fn fragment(&self) -> &[u8] {
        let start = self.header.before_fragment() + usize::from(self.header.is_padded());
        let padding = self.padding().unwrap_or_default();
        let end = usize::try_from(self.header.len.saturating_sub(padding)).unwrap_or_default();
        self.kept.get(start..end.min(self.kept.len())).unwrap_or_default()
    }

    /// Length of the whole fragment, kept or not, in bytes.
    pub(super) fn fragment_len(&self) -> u64 {
        let around = self.header.before_fragment() as u64 + u64::from(self.header.is_padded());
        u64::from(self.header.len.saturating_sub(self.padding().unwrap_or_default())).saturating_sub(around)
    }
}

/// Appends in such a way that no copy stays behind where the vector was before.
pub(super) fn append(text: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    let needed = text.len() + more.len();
    if needed > text.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(text.capacity() * 2)));
        larger.extend_from_slice(text);
        *text = larger;
    }
    text.extend_from_slice(more);
}
