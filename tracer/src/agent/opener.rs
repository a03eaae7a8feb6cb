//! Opens the exchanges that failed inside TLS, with the secrets that a probe showed or a key log has.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use log::debug;
use tracer_common::{Conn, ConnRecord, secret};

use super::{Shared, privacy};
use crate::{
    probes::{
        Kernel, Sweep,
        tls::{keylog::Reader, secrets::Secrets},
    },
    tls::{Said, Session},
};

/// A server writes the secrets of a connection to its key log when that opens. After so long none are expected.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// Where the secrets are.
pub(super) struct Opener {
    secrets: Secrets,
    keylog: Option<Reader>,
    shared: Arc<Shared>,
}

impl Opener {
    /// Starts to read a key log, where there is one.
    pub(super) fn new(secrets: Secrets, keylog: Option<&Path>, shared: Arc<Shared>) -> Result<Self> {
        // Sight is on from here on, whatever is found.
        shared.tell_tls(|_| ());
        Ok(Self { secrets, keylog: keylog.map(Reader::start).transpose()?, shared })
    }

    /// What the kernel has of a connection's session.
    pub(super) fn session(&self, conn: &Conn) -> Option<Session> {
        if conn.keyed == 0 {
            return None;
        }
        let session = self.secrets.of(conn);
        privacy::wipe_stack();
        session
    }

    /// What was said inside TLS in the exchange that a record is about.
    pub(super) fn open(&self, record: &ConnRecord, session: &Session) -> Option<Said> {
        let announced = || Said::read(record, session);
        let logged = || self.keylog.as_ref()?.secrets_of(session).and_then(|logged| Said::read(record, &logged));
        // With the secret of one direction a request may be read, but not what became of it.
        let said = if session.opens_both() { announced().or_else(logged) } else { logged().or_else(announced) };
        privacy::wipe_stack();
        self.shared.tell_tls(|seen| *(if said.is_some() { &mut seen.opened } else { &mut seen.unopened }) += 1);
        said
    }

    /// Whether the secrets of a session are missing, and may be about to come by the key log.
    pub(super) fn awaits(&self, record: &ConnRecord, session: &Session) -> bool {
        let age = Duration::from_nanos(record.header.time_ns.saturating_sub(record.conn.opened_ns));
        let by_log = record.conn.keyed & secret::BY_KEYLOG != 0 && age < WRITTEN_WITHIN;
        by_log && !session.opens_both() && self.keylog.as_ref().is_some_and(|keylog| !keylog.opens(session))
    }

    /// Whether the key log has the secrets of a session by now.
    pub(super) fn is_logged(&self, session: &Session) -> bool {
        self.keylog.as_ref().is_some_and(|keylog| keylog.opens(session))
    }

    /// Has the key log read at once.
    pub(super) fn hurry(&self) {
        if let Some(keylog) = &self.keylog {
            keylog.hurry();
        }
    }

    /// Removes the secrets of connections that are over.
    pub(super) fn forget(&mut self, kernel: &mut Kernel, sweep: &Sweep) {
        if let Err(error) = kernel.forget_secrets(sweep, &mut self.secrets) {
            debug!("removing secrets: {error:#}");
        }
    }
}
