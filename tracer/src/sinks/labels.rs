//! Values of labels: bounded, so that nobody can fill the memory with names.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Label value of everything beyond the first names.
const OTHER: &str = "other";

/// Label value of a process whose name is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// A port by its number; those that are not counted one by one are [`OTHER`].
pub(super) fn port_label(port: Option<u16>) -> String {
    port.map_or_else(|| OTHER.to_owned(), |port| port.to_string())
}

/// A status, or `none`.
pub(super) fn status_label(status: Option<u16>) -> String {
    status.map_or_else(|| "none".to_owned(), |status| status.to_string())
}

/// A process name, among the first few of them.
pub(super) fn process_label(names: &FirstFew<String>, process: &str) -> String {
    if process.is_empty() { UNKNOWN.to_owned() } else { names.label(&process.to_owned()) }
}

/// The first few values of a label; the rest are [`OTHER`], so that nobody can fill the memory with names.
pub(super) struct FirstFew<T> {
    seen: Mutex<HashSet<T>>,
    limit: usize,
}

impl<T: Eq + Hash + Clone + ToString> FirstFew<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { seen: Mutex::default(), limit }
    }

    pub(super) fn label(&self, value: &T) -> String {
        let mut seen = lock(&self.seen);
        if !seen.contains(value) {
            if seen.len() >= self.limit {
                return OTHER.to_owned();
            }
            seen.insert(value.clone());
        }
        value.to_string()
    }
}

impl<T: Eq + Hash + ToString> FirstFew<T> {
    pub(super) fn label_if_seen(&self, value: &T) -> String {
        if lock(&self.seen).contains(value) { value.to_string() } else { OTHER.to_owned() }
    }
}

/// Counts stay usable after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
