//! One file per subcommand. Each gives the exit status, or an error that `main` prints.

pub mod doctor;
pub mod explain;
pub mod history;
mod past;
pub mod probe;
pub mod ranges;
pub mod run;
pub mod update;
pub mod watch;

use anyhow::{Context as _, Result};

use crate::config::Settings;

/// Starts the log: to standard error, at the level asked for, else `RUST_LOG`, else `info`.
fn start_log(settings: &Settings) {
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    if let Some(level) = settings.log_level {
        builder.filter_level(level);
    }
    if settings.log_level.is_none_or(|level| level <= log::LevelFilter::Info) && std::env::var_os("RUST_LOG").is_none()
    {
        // The loader warns of every feature that it probes in vain; what matters of that comes back as an error.
        builder.filter_module("aya", log::LevelFilter::Error).filter_module("aya_obj", log::LevelFilter::Error);
    }
    builder.format_target(false);
    // A second start (in tests) keeps the first log.
    let _already_started = builder.try_init();
}

/// One thread: the agent is mostly asleep.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the event loop")
}
