//! A real Prometheus that scrapes the agent, with the configuration and the rules that are shipped.

mod answer;
mod incident;
mod server;
mod view;

use std::time::Duration;

pub(crate) use answer::Answer;
use answer::substitute;
use incident::STAGED;
pub(crate) use incident::{Incident, OPTIONS};
pub(crate) use server::{Prometheus, installed, promtool};
pub(crate) use view::View;

/// Scrapes, evaluations and records take moments.
pub(crate) const SOON: Duration = Duration::from_secs(15);
