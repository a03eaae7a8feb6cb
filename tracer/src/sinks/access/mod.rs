//! Who may read the web surface, and how: the web config file that Prometheus' exporters share, read anew when it or a
//! file that it names changes. What can't be used changes nothing.

mod file;
mod place;
mod policy;
mod stamp;
#[cfg(test)]
mod tests;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::config::Invalid;
pub(super) use policy::Policy;
use stamp::Stamps;

/// Between two looks at the files.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The policy in force.
pub struct Access {
    inner: Mutex<Inner>,
}

struct Inner {
    path: Option<PathBuf>,
    policy: Arc<Policy>,
    stamps: Stamps,
    looked: Instant,
    is_looking: bool,
}

impl Inner {
    fn read(path: Option<&Path>) -> Result<Self, Invalid> {
        let (policy, stamps) = read(path);
        let policy = Arc::new(policy?);
        Ok(Self { path: path.map(Path::to_owned), policy, stamps, looked: Instant::now(), is_looking: false })
    }
}

impl Access {
    /// Reads the web config file; without one, plain HTTP for everyone.
    ///
    /// # Errors
    /// A file that can't be read or used: file, line and key are named.
    pub fn load(path: Option<&Path>) -> Result<Self, Invalid> {
        Ok(Self { inner: Mutex::new(Inner::read(path)?) })
    }

    /// Reads the file anew, or another one.
    ///
    /// # Errors
    /// As [`Access::load`]; what was in force stays.
    pub fn reload(&self, path: Option<&Path>) -> Result<(), Invalid> {
        let new = Inner::read(path)?;
        let mut inner = self.lock();
        inner.policy.stays_closed(&new.policy)?;
        *inner = new;
        Ok(())
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.lock().policy.tls.is_some() { "https" } else { "http" }
    }

    /// What a listener that others can reach gives away, if anything.
    #[must_use]
    pub fn exposure(&self) -> Option<&'static str> {
        let policy = Arc::clone(&self.lock().policy);
        match (&policy.tls, &policy.users) {
            (None, None) => Some("everyone who reaches it can read hosts, paths and rays of failed requests"),
            (None, Some(_)) => Some("passwords and answers cross the network in the clear"),
            (Some(_), _) => None,
        }
    }

    /// What holds for a new connection. Looks at the files first, once a second at most.
    pub(super) async fn policy(self: &Arc<Self>) -> Arc<Policy> {
        if self.begin_look() {
            let access = Arc::clone(self);
            // On another thread: files on a server that hangs must not stall the agent.
            let _panicked = tokio::task::spawn_blocking(move || access.look()).await;
        }
        Arc::clone(&self.lock().policy)
    }

    /// Whether it is time to look and nobody does.
    fn begin_look(&self) -> bool {
        let mut inner = self.lock();
        let is_due = !inner.is_looking && inner.path.is_some() && inner.looked.elapsed() >= LOOK_AGAIN;
        inner.is_looking |= is_due;
        is_due
    }

    /// Takes what changed. Not under the lock while files are read.
    fn look(&self) {
        let (path, stamps) = {
            let inner = self.lock();
            (inner.path.clone(), inner.stamps.clone())
        };
        let news = (!stamps.are_current()).then(|| read(path.as_deref()));
        let mut inner = self.lock();
        inner.is_looking = false;
        inner.looked = Instant::now();
        // Another file since (SIGHUP): that one was read then.
        let Some((policy, stamps)) = news.filter(|_| inner.path == path) else { return };
        // The stamps count for a failure too: it is told once, until the next change.
        inner.stamps = stamps;
        match policy.and_then(|policy| inner.policy.stays_closed(&policy).map(|()| policy)) {
            Ok(policy) => {
                inner.policy = Arc::new(policy);
                info!("web config file or certificates changed: the new ones are in use");
            }
            Err(error) => warn!("web config file or certificates changed, the old ones stay in use: {error}"),
        }
    }

    /// Makes the next connection look at the files.
    #[cfg(test)]
    fn forget_look(&self) {
        let mut inner = self.lock();
        inner.looked = inner.looked.checked_sub(LOOK_AGAIN).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policy of a file, and the stamps that the files had before they were read.
fn read(path: Option<&Path>) -> (Result<Policy, Invalid>, Stamps) {
    let mut stamps = Stamps::default();
    let Some(path) = path else { return (Ok(Policy::default()), stamps) };
    let policy = file::read(path, &mut stamps);
    (policy, stamps)
}
