//! Where failures go, as it was asked for.

use std::fmt;
use std::path::PathBuf;

/// Where systemd-journald listens.
pub(crate) const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Where failures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, appended to; made with mode 0640.
    File(PathBuf, Rotation),
    /// The systemd journal, whatever the format.
    Journal,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path, _) => write!(f, "{}", path.display()),
            Self::Journal => write!(f, "the journal ({JOURNAL_SOCKET})"),
        }
    }
}

/// When a file makes way for the next, and how many old ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// In bytes; `None`: somebody else rotates.
    pub max_size: Option<u64>,
    /// Old files, named `.1` (the latest) to `.keep`.
    pub keep: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_size: Some(100 << 20), keep: 5 }
    }
}
