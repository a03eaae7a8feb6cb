//! Opens the exchanges that failed inside TLS, with the secrets that a probe showed or a key log has.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use log::debug;
use tracer_common::{Conn, ConnRecord, conn_flags, secret};

use super::{Shared, privacy};
use crate::{
    http::h2::{self, Connection, Piece},
    probes::{
        Kernel, Sweep,
        tls::{keylog::Reader, secrets::Secrets, sizes::ErrorSizes, trails::Trails},
    },
    tls::{
        Said, Session, Talk,
        keys::{self, Gap, Run},
    },
};

/// A server writes the secrets of a connection to its key log when that opens. After so long none are expected.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// The kernel's tables of what is inside TLS.
pub(super) struct Tables {
    pub(super) secrets: Secrets,
    pub(super) trails: Trails,
    pub(super) sizes: ErrorSizes,
}

/// Where the secrets are.
pub(super) struct Opener {
    secrets: Secrets,
    trails: Trails,
    sizes: ErrorSizes,
    /// Questions that found a failure, by connection: its key, and when it was opened.
    found: BTreeMap<(u64, u64), u32>,
    keylog: Option<Reader>,
    shared: Arc<Shared>,
}

/// The type of the frame that each side begins with (RFC 9113 §6.5).
const SETTINGS: u8 = 4;

/// Connections of which the questions that found a failure are counted. Beyond that the counts begin anew.
const MOST_FOUND: usize = 4_096;

impl Opener {
    /// Starts to read a key log, where there is one.
    pub(super) fn new(tables: Tables, keylog: Option<&Path>, shared: Arc<Shared>) -> Result<Self> {
        let Tables { secrets, trails, sizes } = tables;
        // Sight is on from here on, whatever is found.
        shared.tell_tls(|_| ());
        let found = BTreeMap::new();
        Ok(Self { secrets, trails, sizes, found, keylog: keylog.map(Reader::start).transpose()?, shared })
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
        let said = self.read(record, session);
        self.shared.tell_tls(|seen| *(if said.is_some() { &mut seen.opened } else { &mut seen.unopened }) += 1);
        said
    }

    /// The same, not counted: of an exchange that has not failed.
    pub(super) fn read(&self, record: &ConnRecord, session: &Session) -> Option<Said> {
        let announced = || Said::read(record, session);
        let logged = || self.keylog.as_ref()?.secrets_of(session).and_then(|logged| Said::read(record, &logged));
        // With the secret of one direction a request may be read, but not what became of it.
        let said = if session.opens_both() { announced().or_else(logged) } else { logged().or_else(announced) };
        privacy::wipe_stack();
        said
    }

    /// What was said lately on a connection that may speak HTTP/2, and whether the origin said goodbye
    /// (`close_notify`). `None`: it speaks something else, or that can't be opened.
    pub(super) fn streams(&mut self, conn: &Conn, session: &Session) -> Option<(Connection, bool)> {
        if conn.flags & conn_flags::TRAILED == 0 {
            return None;
        }
        let trail = self.trails.of(conn)?;
        let logged = || self.keylog.as_ref()?.secrets_of(session);
        let open = |session: &Session| Talk::open(conn, &trail, session, first_text);
        let talk = open(session).or_else(|| open(&logged()?));
        privacy::wipe_stack();
        let talk = talk?;
        let mut origin = pieces(&talk.origin);
        if let Some(first) = origin.first_mut().filter(|first| h2::frame(first.text) > 0 && first.text[3] != SETTINGS) {
            // It spoke before the trail began.
            first.gap = h2::Gap::Unknown;
        }
        let connection = Connection::read(&pieces(&talk.edge), &origin);
        match connection.is_http2 {
            Some(true) => {
                let found = self.found.get(&(conn.key, conn.opened_ns)).copied().unwrap_or_default();
                self.trails.speaks_http2(conn, found);
                Some((connection, talk.is_closed))
            }
            Some(false) => {
                self.trails.speaks_other(conn);
                None
            }
            None => None,
        }
    }

    /// A question about this connection found a failure: more of them may be asked.
    pub(super) fn found(&mut self, conn: &Conn) {
        if self.found.len() >= MOST_FOUND {
            self.found.clear();
        }
        let found = self.found.entry((conn.key, conn.opened_ns)).or_default();
        *found += 1;
        self.trails.speaks_http2(conn, *found);
    }

    /// An answer of the size with this name was an error, or none.
    pub(super) fn answers_of(&mut self, size: u32, is_error: bool) {
        self.sizes.learn(size, is_error);
    }

    /// Whether the secrets of a session are missing, and may be about to come by the key log.
    pub(super) fn awaits(&self, conn: &Conn, time_ns: u64, session: &Session) -> bool {
        let age = Duration::from_nanos(time_ns.saturating_sub(conn.opened_ns));
        let by_log = conn.keyed & secret::BY_KEYLOG != 0 && age < WRITTEN_WITHIN;
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

/// Whether a text of the edge's is the beginning of HTTP, of either version.
fn first_text(text: &[u8]) -> u32 {
    h2::preface(text).max(keys::http_request(text)).max(h2::frame(text))
}

fn pieces(runs: &[Run]) -> Vec<Piece<'_>> {
    runs.iter().map(piece).collect()
}

fn piece(run: &Run) -> Piece<'_> {
    Piece {
        time: run.time,
        gap: match run.gap {
            Gap::None => h2::Gap::None,
            Gap::Bytes(bytes) => h2::Gap::Bytes(bytes),
            Gap::Unknown => h2::Gap::Unknown,
        },
        text: &run.text,
    }
}
