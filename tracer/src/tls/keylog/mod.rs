//! A TLS key log, in the format of NSS: one secret a line, with its label and the client random of its session.
//!
//! Whoever writes the log may write anything: a line that is no secret, or one of no use here, is passed over. The
//! newest sessions are remembered, a bounded number, and wiped when they make room for others.

mod line;

use std::collections::HashMap;

use tracer_common::RANDOM_LEN;

use super::Session;
use line::{Line, Logged};

/// Sessions that are remembered: some 280 bytes each, 9.2 MB in all.
const MOST: usize = 32_768;

/// The sessions in a key log.
pub struct KeyLog {
    /// As many as there may be, in one piece from the start: a vector that grows leaves a copy behind.
    sessions: Vec<Session>,
    most: usize,
    /// Once all places are taken: the one whose session is the oldest.
    oldest: usize,
    places: HashMap<[u8; RANDOM_LEN], usize>,
    line: Line,
}

impl Default for KeyLog {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl KeyLog {
    /// With room for so many sessions.
    fn of(most: usize) -> Self {
        Self { sessions: Vec::with_capacity(most), most, oldest: 0, places: HashMap::new(), line: Line::default() }
    }

    /// Takes the next bytes of the log, which may end anywhere.
    pub fn read(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            self.line.push(text.unwrap_or(piece));
            if text.is_some() {
                if let Some(logged) = self.line.secret() {
                    self.hold(&logged);
                }
                self.line.clear();
            }
        }
    }

    /// What comes next is no continuation of what came before.
    pub fn cut(&mut self) {
        self.line.clear();
    }

    /// The secrets of a session, with its hello messages. `None`: the log has none.
    #[must_use]
    pub fn secrets_of(&self, session: &Session) -> Option<Session> {
        Some(self.find(session)?.with_hellos_of(session))
    }

    /// Whether the log has what opens both directions of a session.
    #[must_use]
    pub fn opens(&self, session: &Session) -> bool {
        self.find(session).is_some_and(Session::opens_both)
    }

    /// How many sessions are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn find(&self, session: &Session) -> Option<&Session> {
        self.places.get(session.client_random()?).map(|place| &self.sessions[*place])
    }

    fn hold(&mut self, logged: &Logged) {
        let place = self.place(logged.client_random);
        self.sessions[place].hold(logged.label, logged.secret());
    }

    /// The session's place, where it takes that of the oldest one if it is new.
    fn place(&mut self, random: [u8; RANDOM_LEN]) -> usize {
        if let Some(place) = self.places.get(&random) {
            return *place;
        }
        let session = Session::blank(random);
        let place = if self.sessions.len() < self.most {
            self.sessions.push(session);
            self.sessions.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % self.most;
            let gone = std::mem::replace(&mut self.sessions[place], session);
            self.places.remove(&gone.keys().client_random);
            place
        };
        self.places.insert(random, place);
        place
    }
}

#[cfg(test)]
mod tests;
