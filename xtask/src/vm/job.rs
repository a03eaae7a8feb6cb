//! What host and guest agree on: what a job is, where its files are, and how its beginning and end are told.

use std::path::{Path, PathBuf};

use crate::architecture::Each;

/// Holds the job and all that it runs.
pub(super) const GUEST: &str = "/guest";
/// The job: a script for the root's shell.
pub(super) const JOB: &str = "/guest/job";
/// The modules that the root needs, one path a line, in the order of loading.
pub(super) const MODULES: &str = "/modules.list";

const STARTED: &str = "vm: started";
const ENDED: &str = "vm: ended with ";
const BROKEN: &str = "vm: broken: ";

/// What a machine is to do.
pub(super) struct Job<'a> {
    /// For the root's shell, with standard output as the way out.
    pub(super) script: String,
    /// The images of the roots.
    pub(super) roots: &'a Each<PathBuf>,
    pub(super) memory_mib: u64,
    /// A folder of the host's that is to be there as `/guest/` and its own name.
    pub(super) folder: Option<&'a Path>,
}

/// A line by which a guest tells how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Started,
    /// The job's exit status; above 128 a signal's number.
    Ended(i32),
    /// Why there was no job.
    Broken(String),
}

impl Step {
    /// `None`: a line of the job's.
    pub(super) fn read(line: &str) -> Option<Self> {
        if line == STARTED {
            Some(Self::Started)
        } else if let Some(status) = line.strip_prefix(ENDED) {
            status.parse().ok().map(Self::Ended)
        } else {
            line.strip_prefix(BROKEN).map(|why| Self::Broken(why.to_owned()))
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Started => f.write_str(STARTED),
            Self::Ended(status) => write!(f, "{ENDED}{status}"),
            // On one line, whatever the error.
            Self::Broken(why) => write!(f, "{BROKEN}{}", why.replace('\n', "; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_tells_is_read_as_it_was_meant() {
        for step in [Step::Started, Step::Ended(0), Step::Ended(139), Step::Broken("loading /x.ko: denied".into())] {
            assert_eq!(Step::read(&step.to_string()), Some(step));
        }
        assert_eq!(Step::read("test a ... ok (0.1 s)"), None);
        assert_eq!(Step::Broken("a\nb".into()).to_string(), "vm: broken: a; b");
    }
}
