//! The static and the dynamic table of HPACK (RFC 7541 §2.3), the latter as far as its entries are known.

use std::collections::VecDeque;
use std::rc::Rc;

use zeroize::Zeroizing;

/// A name or a value of a header field. Wiped when dropped: it may have come from inside TLS.
#[derive(Clone)]
pub(in crate::http::h2) enum Text {
    Static(&'static [u8]),
    Own(Rc<Zeroizing<Vec<u8>>>),
    /// In an entry that was made before the first byte that was kept.
    Unknown,
}

impl Text {
    pub(in crate::http::h2) fn known(&self) -> Option<&[u8]> {
        match self {
            Self::Static(text) => Some(text),
            Self::Own(text) => Some(text),
            Self::Unknown => None,
        }
    }

    fn len(&self) -> usize {
        self.known().map_or(0, <[u8]>::len)
    }
}

/// A header field: its name and its value.
pub(super) type Field = (Text, Text);

/// What an entry takes of the table beside its texts, in bytes (RFC 7541 §4.1).
const OVERHEAD: usize = 32;
/// Size of the table unless the encoder says otherwise, in bytes (RFC 9113 §6.5.2).
const DEFAULT: usize = 4096;
/// Most that is kept of a table, in bytes.
const MOST: usize = 1 << 16;

/// The table of one side's encoder.
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Field>,
    size: usize,
    max: usize,
    /// Every entry is known.
    whole: bool,
}

impl Table {
    /// The table at the beginning of a connection, or (`whole` is false) at any time later.
    pub(super) fn new(whole: bool) -> Self {
        Self { entries: VecDeque::new(), size: 0, max: if whole { DEFAULT } else { MOST }, whole }
    }

    /// The field with this number; `None`: there is none.
    pub(super) fn get(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((Text::Static(name), Text::Static(value)));
        }
        let entry = self.entries.get(index - STATIC.len()).cloned();
        entry.or_else(|| (!self.whole).then_some((Text::Unknown, Text::Unknown)))
    }

    pub(super) fn insert(&mut self, name: Text, value: Text) {
        self.size += entry_size(&name, &value);
        self.entries.push_front((name, value));
        self.evict();
    }

    /// What the encoder says that it uses.
    pub(super) fn resize(&mut self, max: u32) {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.whole &= max <= MOST;
        self.max = max.min(MOST);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some((name, value)) = self.entries.pop_back() else { break };
            self.size -= entry_size(&name, &value);
        }
    }
}

fn entry_size(name: &Text, value: &Text) -> usize {
    name.len() + value.len() + OVERHEAD
}

/// RFC 7541 Appendix A.
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];
