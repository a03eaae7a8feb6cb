//! A failure or an answer of 5xx, asked for the same things.

use jiff::Timestamp;

use crate::{
    diagnose::{Diagnosis, origin::OriginError, upstream::UpstreamFields},
    sinks::{stream::json_line, text},
};

/// What the view keeps of one record: all of it.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Failure(Box<Diagnosis>),
    Origin(Box<OriginError>),
}

/// A record and its number in the order of arrival.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) record: Record,
}

impl Record {
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failure(_))
    }

    pub(super) fn time(&self) -> Timestamp {
        match self {
            Self::Failure(failure) => failure.time,
            Self::Origin(error) => error.time,
        }
    }

    /// The time of day in UTC.
    pub(super) fn clock(&self) -> String {
        text::clock(self.time()).to_string()
    }

    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.cause.name(),
            Self::Origin(error) => error.cause.name(),
        }
    }

    /// `520`; `cut` where the visitor got no 52x.
    pub(super) fn status(&self) -> String {
        let status = match self {
            Self::Failure(failure) => failure.edge_status,
            Self::Origin(error) => Some(error.response_status),
        };
        status.map_or_else(|| "cut".to_owned(), |status| status.to_string())
    }

    pub(super) fn certainty(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.certainty.name(),
            Self::Origin(error) => error.certainty.name(),
        }
    }

    /// Method, host and path, escaped.
    pub(super) fn request(&self) -> Option<String> {
        match self {
            Self::Failure(failure) => text::request(&(&**failure).into()),
            Self::Origin(error) => text::request(&(&**error).into()),
        }
    }

    /// Who answered where to whom, escaped.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Failure(failure) => text::place(&(&**failure).into()),
            Self::Origin(error) => text::place(&(&**error).into()),
        }
    }

    pub(super) fn ray(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) => failure.ray.as_deref(),
            Self::Origin(error) => error.ray.as_deref(),
        }
    }

    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) => failure.host.as_deref(),
            Self::Origin(error) => error.host.as_deref(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Failure(failure) => failure.local_port,
            Self::Origin(error) => error.local_port,
        }
    }

    pub(super) fn process(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) => failure.process.as_deref(),
            Self::Origin(error) => error.process.as_deref(),
        }
    }

    /// The process behind.
    pub(super) fn upstream(&self) -> Option<&str> {
        let fields: &UpstreamFields = match self {
            Self::Failure(failure) => &failure.upstream,
            Self::Origin(error) => &error.upstream,
        };
        fields.upstream_process.as_deref()
    }

    pub(super) fn evidence(&self) -> &[String] {
        match self {
            Self::Failure(failure) => &failure.evidence,
            Self::Origin(error) => &error.evidence,
        }
    }

    pub(super) fn advice(&self) -> &str {
        match self {
            Self::Failure(failure) => &failure.advice,
            Self::Origin(error) => &error.advice,
        }
    }

    /// The record as `--json` writes it, the line end included.
    pub(super) fn json(&self) -> std::io::Result<String> {
        match self {
            Self::Failure(failure) => json_line(failure),
            Self::Origin(error) => json_line(error),
        }
    }

    /// A name for a file that holds it: time and cause, nothing foreign.
    pub(super) fn file_name(&self) -> String {
        let time =
            jiff::fmt::strtime::format("%Y%m%dT%H%M%S%.3fZ", self.time()).unwrap_or_else(|_| "record".to_owned());
        format!("tracer-{time}-{}.json", self.cause())
    }
}
