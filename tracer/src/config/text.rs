//! Small text files, and what is said of what can't be used.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Longest configuration or range file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Wrong use: a value that can't be, where it stands and what to write instead. Leads to exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    /// `message` names the place and the mend.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// A small text file, or why not, in words.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("longer than {} KiB, so hardly the right file", MAX_FILE / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "not a text file (invalid UTF-8)".to_owned())
}
