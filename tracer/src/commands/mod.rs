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

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context as _, Result};

use crate::config::Settings;

/// Starts the log: to standard error, at the level asked for, else `RUST_LOG`, else `info`.
fn start_log(settings: &Settings) {
    // A second start (in tests) keeps the first log.
    let _already_started = log_builder(settings).try_init();
}

/// The same to somewhere else; in colour where standard error would be.
fn start_log_at(settings: &Settings, target: Box<dyn Write + Send>) {
    let has_colour = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let style = if has_colour { env_logger::WriteStyle::Always } else { env_logger::WriteStyle::Never };
    let target = env_logger::Target::Pipe(target);
    let _already_started = log_builder(settings).target(target).write_style(style).try_init();
}

fn log_builder(settings: &Settings) -> env_logger::Builder {
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
    builder
}

/// One thread: the agent is mostly asleep.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the event loop")
}
