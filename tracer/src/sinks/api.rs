//! The last records as one JSON object, for `/api/v1/records`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::escape;
use crate::diagnose::{Diagnosis, origin::OriginError};

/// Both kinds, as the events file has them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Kept<'a> {
    Failure(&'a Diagnosis),
    OriginError(&'a OriginError),
}

impl Kept<'_> {
    const fn time(&self) -> Timestamp {
        match self {
            Self::Failure(diagnosis) => diagnosis.time,
            Self::OriginError(error) => error.time,
        }
    }
}

/// The answer, in the order in which it is written.
#[derive(Serialize)]
pub(super) struct Records<'a> {
    pub(super) schema: u32,
    pub(super) version: &'static str,
    /// From when on every record is here: the start, or the oldest one that is still kept.
    pub(super) begins: Timestamp,
    pub(super) failures: u64,
    pub(super) origin_errors: u64,
    /// Records lost since the start, by the place.
    pub(super) lost: BTreeMap<&'a str, u64>,
    pub(super) records: Vec<Kept<'a>>,
}

/// The whole answer, one line; the records from the oldest on.
pub(super) fn render(mut answer: Records<'_>) -> serde_json::Result<String> {
    answer.records.sort_by_key(Kept::time);
    let mut text = escape::json(&serde_json::to_string(&answer)?).into_owned();
    text.push('\n');
    Ok(text)
}
