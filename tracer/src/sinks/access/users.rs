//! `basic_auth_users`: passwords against bcrypt hashes. A hash takes long on purpose: what was verified is remembered,
//! one is checked at a time, and after a wrong password nobody is checked for a while.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use hyper::header::HeaderValue;
use ring::hmac;
use ring::rand::SystemRandom;
use serde_saphyr::Spanned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

use super::place::Named;
use crate::config::Invalid;

/// Most users of a file.
const MAX_USERS: usize = 256;
/// Dearest hash that is taken: about a second of a core.
const MAX_COST: u32 = 14;
/// The cheapest hash that bcrypt knows.
const MIN_COST: u32 = 4;
/// Longest password that is looked at, in bytes; bcrypt itself uses 72.
const MAX_PASSWORD: usize = 1024;
/// Wrong passwords may take one part in this of a core.
const WRONG_SHARE: u32 = 4;

/// Users, their hashes, and which passwords are known to be right.
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    /// Checked for a user who does not exist, so that it takes as long.
    decoy: String,
    key: hmac::Key,
    verified: Mutex<BTreeMap<String, hmac::Tag>>,
    turn: Arc<Semaphore>,
}

impl Users {
    /// `None` for nobody: no password is asked for then.
    pub(super) fn new(file: Named<'_>, users: BTreeMap<String, Spanned<String>>) -> Result<Option<Arc<Self>>, Invalid> {
        let wrong = |name: &str, hash: &Spanned<String>, why: String| {
            file.wrong(hash.referenced.line(), &format!("basic_auth_users: {name}"), &why)
        };
        let mut dearest = MIN_COST;
        for (name, hash) in &users {
            dearest = dearest.max(cost(name, &hash.value).map_err(|why| wrong(name, hash, why))?);
        }
        if users.is_empty() {
            return Ok(None);
        }
        if users.len() > MAX_USERS {
            let (path, count) = (file.path.display(), users.len());
            return Err(Invalid::new(format!("{path}: basic_auth_users: {count} are more than {MAX_USERS}")));
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| Invalid::new("basic_auth_users: the system gives no random numbers"))?;
        Ok(Some(Arc::new(Self {
            hashes: users.into_iter().map(|(name, hash)| (name, hash.value)).collect(),
            decoy: format!("$2b${dearest:02}${}", ".".repeat(53)),
            key,
            verified: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        })))
    }

    /// Whether the value of the Authorization field names a user and the right password.
    pub(crate) async fn admit(self: &Arc<Self>, field: Option<&HeaderValue>) -> bool {
        let Some((name, password)) = field.and_then(credentials) else { return false };
        if self.is_verified(&name, &password) {
            return true;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return false };
        // While this one waited, another may have been found right.
        if self.is_verified(&name, &password) {
            return true;
        }
        let (tell, told) = oneshot::channel();
        // A task of its own: a client that leaves must not shorten the pause.
        tokio::spawn(Arc::clone(self).check(name, password, turn, tell));
        told.await.unwrap_or(false)
    }

    #[cfg(test)]
    pub(super) fn turn(&self) -> &Semaphore {
        &self.turn
    }

    async fn check(
        self: Arc<Self>,
        name: String,
        password: String,
        turn: OwnedSemaphorePermit,
        tell: oneshot::Sender<bool>,
    ) {
        let start = Instant::now();
        let is_right = tokio::task::spawn_blocking(move || self.verify(&name, &password)).await.unwrap_or(false);
        let _client_left = tell.send(is_right);
        if !is_right {
            sleep(start.elapsed() * (WRONG_SHARE - 1)).await;
        }
        drop(turn);
    }

    fn verify(&self, name: &str, password: &str) -> bool {
        let (hash, exists) = self.hashes.get(name).map_or((&self.decoy, false), |hash| (hash, true));
        let is_right = bcrypt::verify(password, hash).unwrap_or(false) && exists;
        if is_right {
            let tag = hmac::sign(&self.key, password.as_bytes());
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tag);
        }
        is_right
    }

    fn is_verified(&self, name: &str, password: &str) -> bool {
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        known.is_some_and(|tag| hmac::verify(&self.key, password.as_bytes(), tag.as_ref()).is_ok())
    }
}

/// The cost of a user's hash, or why it can't be used.
fn cost(name: &str, hash: &str) -> Result<u32, String> {
    if name.is_empty() || name.contains(':') {
        return Err("a user name is not empty and holds no colon".to_owned());
    }
    let parts = HashParts::from_str(hash)
        .map_err(|_| "not a bcrypt hash (make one with `htpasswd -nBC 10 \"\"`)".to_owned())?;
    match parts.get_cost() {
        cost @ MIN_COST..=MAX_COST => Ok(cost),
        cost => Err(format!("a hash of cost {cost} (use {MIN_COST} to {MAX_COST})")),
    }
}

/// User and password of `Basic …`.
fn credentials(field: &HeaderValue) -> Option<(String, String)> {
    let (scheme, value) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    (password.len() <= MAX_PASSWORD).then(|| (name.to_owned(), password.to_owned()))
}
