//! Where in the web config file a mistake stands.

use std::path::Path;

use crate::config::Invalid;

/// A file under its name in errors.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) path: &'a Path,
}

impl Named<'_> {
    /// `why` at the key that stands on this line.
    pub(super) fn wrong(&self, line: u64, key: &str, why: &str) -> Invalid {
        Invalid::new(format!("{}:{line}: {key}: {why}", self.path.display()))
    }

    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }
}
