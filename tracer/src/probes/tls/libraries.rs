//! The TLS libraries of a process: every file of which it maps code, looked at once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;
use std::time::Instant;

use log::debug;

pub use super::open::Identity;
use super::site::{self, NotFound, Site};
use super::{maps, open};

/// The most bytes of a file that are read, all at once.
pub const LARGEST: u64 = 256 << 20;
/// Files whose looks are remembered; beyond them, the oldest is forgotten.
const REMEMBERED: usize = 4_096;
/// A file of so many bytes takes a tenth of a second to look at, or longer; which is worth doing ahead of time.
const LARGE: u64 = 8 << 20;
/// Bytes in which a file's program headers are.
const HEAD: u64 = 64 << 10;

/// Looks at files, and remembers what it saw.
#[derive(Default)]
pub struct Libraries {
    looks: HashMap<Identity, Look>,
    order: VecDeque<Identity>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where to probe it, or why it can't be.
    pub site: Result<Site, Refusal>,
}

/// Why a file is not probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound(NotFound),
    /// More than [`LARGEST`] bytes of it would have to be read.
    TooLarge,
    Unreadable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(why) => why.fmt(f),
            Self::TooLarge => write!(f, "more than {} MiB of it are mapped", LARGEST >> 20),
            Self::Unreadable(why) => write!(f, "can't be read: {why}"),
        }
    }
}

/// One file that a process maps code of.
#[derive(Debug)]
pub struct Library {
    /// As the process names it, control characters escaped: for messages alone.
    pub path: String,
    /// The file itself; `None` where it can't be opened. `/proc/self/fd/N` names it to who attaches the probe.
    pub file: Option<(File, Identity)>,
    pub look: Look,
}

impl Libraries {
    /// Finds the files of a process that hold a TLS library, or of which that can't be told. Takes as long as the
    /// reading of files does that were not looked at before: meant for a thread of its own. Those whose names promise a
    /// library come first, since the process may be about to use it.
    pub fn of(&mut self, pid: u32, mut found: impl FnMut(Library)) -> io::Result<()> {
        let mut maps = maps::executable(BufReader::new(File::open(format!("/proc/{pid}/maps"))?))?;
        maps.sort_by_key(|mapping| !promises(&mapping.path));
        for mapping in maps {
            let path = String::from_utf8_lossy(&mapping.path).escape_debug().to_string();
            let library = match open::mapped(pid, &mapping) {
                Ok((file, identity)) => self.at(path, file, identity),
                Err(error) => Library { path, file: None, look: unreadable(&error) },
            };
            if library.look.concerns_tls() {
                found(library);
            }
        }
        Ok(())
    }

    /// Looks at a file that somebody opened.
    pub fn at(&mut self, path: String, file: File, identity: Identity) -> Library {
        let look = self.look(&file, identity);
        Library { path, file: Some((file, identity)), look }
    }

    /// Looks at an executable that may come to be a server's, if it is one of those that take long and not known yet.
    pub fn prepare(&mut self, executable: &Path) -> Option<(Identity, Look)> {
        let (file, identity) = open::regular_at(executable).ok()?;
        let is_new = identity.size >= LARGE && !self.looks.contains_key(&identity);
        is_new.then(|| (identity, self.look(&file, identity)))
    }

    /// Remembers what somebody else saw in a file.
    pub fn learn(&mut self, identity: Identity, look: Look) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.looks.remove(&oldest);
        }
        self.order.push_back(identity);
        self.looks.insert(identity, look);
    }

    fn look(&mut self, file: &File, identity: Identity) -> Look {
        if let Some(known) = self.looks.get(&identity) {
            return known.clone();
        }
        let started = Instant::now();
        let look = match read(file, identity.size) {
            Ok(Some(bytes)) => Look { site: site::find(&bytes).map_err(Refusal::NotFound) },
            Ok(None) => Look { site: Err(Refusal::TooLarge) },
            // It may be readable the next time.
            Err(error) => return unreadable(&error),
        };
        debug!("looking at {} bytes of inode {} took {:?}", identity.size, identity.inode, started.elapsed());
        self.learn(identity, look.clone());
        look
    }
}

/// Whether a file has the name of a TLS library. A wrong name costs a few milliseconds.
fn promises(path: &[u8]) -> bool {
    [&b"libssl"[..], b"libgnutls", b"boring"].iter().any(|name| memchr::memmem::find(path, name).is_some())
}

impl Refusal {
    /// Nothing in the file is a TLS library that logs secrets: no fault, and nothing to tell.
    #[must_use]
    pub fn is_no_library(&self) -> bool {
        matches!(self, Self::NotFound(NotFound::NoLibrary))
    }
}

impl Look {
    /// Whether there is something to probe, or to tell the operator.
    fn concerns_tls(&self) -> bool {
        !matches!(self.site, Err(Refusal::NotFound(NotFound::NoLibrary | NotFound::Malformed)))
    }
}

fn unreadable(error: &io::Error) -> Look {
    Look { site: Err(Refusal::Unreadable(error.to_string())) }
}

/// What is mapped of a file; `None`: it is more than [`LARGEST`]. Read and not mapped, since whoever cuts a mapped file
/// short ends the process that reads it.
fn read(file: &File, size: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(HEAD).read_to_end(&mut bytes)?;
    let Some(extent) = site::extent(&bytes).map(|extent| extent.min(size)) else { return Ok(Some(bytes)) };
    if extent > LARGEST {
        return Ok(None);
    }
    let rest = extent.saturating_sub(bytes.len() as u64);
    bytes.reserve_exact(usize::try_from(rest).unwrap_or(0));
    file.take(rest).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
