//! A configuration as far as it could be read.

use std::io;

/// What could not be read, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(pub(super) String);

impl Problem {
    pub(super) fn unread(path: &str, error: &io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::FileTooLarge => format!("{path}: the configuration is larger than what is read"),
            io::ErrorKind::NotFound => format!("{path}: not there"),
            io::ErrorKind::PermissionDenied => format!("{path}: may not be read"),
            _ => format!("{path}: {error}"),
        })
    }

    pub(super) fn malformed(path: &str) -> Self {
        Self(format!("{path}: not understood"))
    }

    pub(super) fn too_deep(path: &str) -> Self {
        Self(format!("{path}: includes too deep to follow"))
    }
}

/// What was found, and what is missing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded<T> {
    pub(super) found: T,
    pub(super) problems: Vec<Problem>,
}

impl<T: Default> Loaded<T> {
    /// No file at any of the usual places.
    pub(super) fn nowhere() -> Self {
        Self { found: T::default(), problems: vec![Problem("no configuration file at the usual places".to_owned())] }
    }
}
