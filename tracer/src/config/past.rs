//! Commands that look back, checked: where events are, and which of them are asked for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::layers::{self, Layers};
use super::{DEFAULT_LISTEN, Invalid, value};
use crate::cli::{ExplainArgs, HistoryArgs, PastArgs, SourceArgs};
use crate::diagnose::{Cause, origin::OriginCause};

/// The configuration of the service, which is read where none is named.
const SERVICE_CONFIG: &str = "/etc/tracer/tracer.toml";
/// Similar events that are shown, unless told otherwise, and at most.
const NEIGHBOURS: u64 = 5;
const MAX_NEIGHBOURS: u64 = 1000;
/// Rows of a table, unless told otherwise, and at most.
const ROWS: u64 = 40;
const MAX_ROWS: u64 = 10_000;
/// Values of one option.
const MAX_VALUES: usize = 100;

/// Where events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Events files or folders.
    pub paths: Vec<PathBuf>,
    /// The journal of this unit.
    pub journal: Option<String>,
    /// Where the daemon serves its last records: asked where no file and no journal is named, and for what it lost.
    pub listen: SocketAddr,
}

/// `tracer explain`, checked; the ray is as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainConfig {
    pub past: Past,
    pub neighbours: usize,
    pub json: bool,
}

/// What `tracer history` counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    Cause,
    Status,
    Certainty,
    Host,
    Process,
    Upstream,
    Port,
    Minute,
    Hour,
    Day,
}

impl By {
    const ALL: [Self; 10] = [
        Self::Cause,
        Self::Status,
        Self::Certainty,
        Self::Host,
        Self::Process,
        Self::Upstream,
        Self::Port,
        Self::Minute,
        Self::Hour,
        Self::Day,
    ];

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Status => "status",
            Self::Certainty => "certainty",
            Self::Host => "host",
            Self::Process => "process",
            Self::Upstream => "upstream",
            Self::Port => "port",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Whether it is a span of time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Minute | Self::Hour | Self::Day)
    }
}

/// `tracer history`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    pub past: Past,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub causes: Vec<String>,
    pub hosts: Vec<String>,
    pub processes: Vec<String>,
    pub ports: Vec<u16>,
    /// In the order in which they were typed, each once.
    pub by: Vec<By>,
    pub rows: usize,
    pub json: bool,
}

impl ExplainArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<ExplainConfig, Invalid> {
        let neighbours = number("neighbours", self.neighbours.as_deref(), NEIGHBOURS, MAX_NEIGHBOURS)?;
        Ok(ExplainConfig { past: self.past.check()?, neighbours, json: self.json })
    }
}

impl HistoryArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<HistoryConfig, Invalid> {
        let now = Timestamp::now();
        let time = |key: &str, typed: &Option<String>| {
            let read = |text: &String| value::moment(text, now).map_err(|why| Invalid::new(format!("--{key}: {why}")));
            typed.as_ref().map(read).transpose()
        };
        let (since, until) = (time("since", &self.since)?, time("until", &self.until)?);
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err(Invalid::new("--until: it is not after --since"));
        }
        let mut by = list("by", &self.by, by)?;
        let mut seen = Vec::new();
        by.retain(|key| {
            !seen.contains(key) && {
                seen.push(*key);
                true
            }
        });
        Ok(HistoryConfig {
            past: self.past.check()?,
            since,
            until,
            causes: list("cause", &self.cause, cause)?,
            hosts: list("host", &self.host, |text| Ok(text.to_owned()))?,
            processes: list("process", &self.process, |text| Ok(text.to_owned()))?,
            ports: list("port", &self.port, value::port)?,
            by,
            rows: number("rows", self.rows.as_deref(), ROWS, MAX_ROWS)?,
            json: self.json,
        })
    }
}

impl PastArgs {
    fn check(&self) -> Result<Past, Invalid> {
        self.check_in(&layers::process_environment, Path::new(SERVICE_CONFIG))
    }

    fn check_in(&self, env: layers::Environment<'_>, service: &Path) -> Result<Past, Invalid> {
        let is_named = self.config.is_some() || env("TRACER_CONFIG").is_some_and(|path| !path.is_empty());
        let is_asked = !self.events.is_empty() || self.journal.is_some();
        // Where events are named, a file that this user can't read is none of his business.
        let service = Some(service.to_owned()).filter(|path| !is_named && !is_asked && path.exists());
        let args = SourceArgs { config: self.config.clone().or(service), ..SourceArgs::default() };
        let layers = Layers::open(&args, env)?;
        let mut paths = self.events.clone();
        if !is_asked {
            // Standard output is nothing to read.
            paths.extend(layers.path("events", None)?.filter(|path| path.as_os_str() != "-"));
        }
        Ok(Past {
            paths,
            journal: self.journal.as_deref().map(unit).transpose()?,
            listen: layers.one("listen", None, value::address)?.unwrap_or(DEFAULT_LISTEN),
        })
    }
}

/// A unit's name as systemd takes it.
fn unit(text: &str) -> Result<String, Invalid> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if text.is_empty() || text.len() > 255 || !text.chars().all(is_name) {
        return Err(Invalid::new(format!("--journal: {text:?} is no unit (write --journal=tracer.service)")));
    }
    Ok(if text.contains('.') { text.to_owned() } else { format!("{text}.service") })
}

fn cause(text: &str) -> Result<String, String> {
    let known = || Cause::ALL.iter().map(|cause| cause.name()).chain(OriginCause::ALL.iter().map(|cause| cause.name()));
    if known().any(|cause| cause == text) {
        return Ok(text.to_owned());
    }
    let mut known: Vec<_> = known().collect();
    known.sort_unstable();
    known.dedup();
    Err(format!("{text:?} is no cause (known: {})", known.join(", ")))
}

fn by(text: &str) -> Result<By, String> {
    let known = || By::ALL.map(By::name).join(", ");
    By::ALL
        .into_iter()
        .find(|by| by.name() == text)
        .ok_or_else(|| format!("{text:?} is nothing to count by (known: {})", known()))
}

fn list<T>(key: &str, typed: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Invalid> {
    if typed.len() > MAX_VALUES {
        return Err(Invalid::new(format!("--{key}: {} values are more than {MAX_VALUES}", typed.len())));
    }
    typed.iter().map(|text| read(text).map_err(|why| Invalid::new(format!("--{key}: {why}")))).collect()
}

fn number(key: &str, typed: Option<&str>, default: u64, most: u64) -> Result<usize, Invalid> {
    let number = layers::flag(key, typed, value::count)?.unwrap_or(default);
    if number > most {
        return Err(Invalid::new(format!("--{key}: {number} is more than {most}")));
    }
    usize::try_from(number).map_err(|_| Invalid::new(format!("--{key}: {number} is too large")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn past(line: &str, variables: &[(&str, &str)], service: &str) -> Result<Past, String> {
        let words = format!("tracer history {line}");
        let Command::History(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().command else {
            panic!("not history")
        };
        let env = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        args.past.check_in(&env, Path::new(service)).map_err(|error| error.to_string())
    }

    fn history(line: &str) -> Result<HistoryConfig, String> {
        let words = format!("tracer history --events x {line}");
        let Command::History(args) = Cli::try_parse_from(words.split_whitespace()).unwrap().command else {
            panic!("not history")
        };
        args.check().map_err(|error| error.to_string())
    }

    #[test]
    fn events_are_those_that_are_named_else_the_configured_ones_else_the_daemons() {
        let file = std::env::temp_dir().join(format!("tracer-past-{}.toml", std::process::id()));
        std::fs::write(&file, "events = \"/e\"\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let service = file.to_str().unwrap();
        let paths = |line: &str, variables: &[(&str, &str)]| past(line, variables, service).unwrap();
        assert_eq!(paths("", &[]).paths, [PathBuf::from("/e")]);
        assert_eq!(paths("", &[]).listen.port(), 1);
        assert_eq!(paths("--events a --events b", &[]).paths, ["a", "b"].map(PathBuf::from));
        assert_eq!(paths("", &[("TRACER_EVENTS", "/v")]).paths, [PathBuf::from("/v")]);
        assert!(paths("", &[("TRACER_EVENTS", "-")]).paths.is_empty());
        let journal = paths("--journal", &[]);
        assert_eq!((journal.paths.len(), journal.journal.as_deref()), (0, Some("tracer.service")));
        assert_eq!(paths("--journal=own", &[]).journal.as_deref(), Some("own.service"));
        let nothing = past("", &[], "/nowhere").unwrap();
        assert_eq!((nothing.paths.len(), nothing.journal, nothing.listen), (0, None, DEFAULT_LISTEN));
        assert!(past("--config /nowhere/x", &[], service).unwrap_err().contains("/nowhere/x"));
        assert!(past("--journal=a/b", &[], service).unwrap_err().contains("is no unit"));
        let _ = std::fs::remove_file(file);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (line, part) in [
            ("--since soon", "--since: \"soon\" is no time"),
            ("--since 1h --until 2h", "--until: it is not after --since"),
            ("--cause oom", "--cause: \"oom\" is no cause (known: app_reset, "),
            ("--port 0", "--port: \"0\" is not a port"),
            ("--by cause,week", "--by: \"week\" is nothing to count by (known: cause, "),
            ("--rows 0", "--rows: \"0\" is not a number from 1 up"),
            ("--rows 99999", "--rows: 99999 is more than 10000"),
        ] {
            let error = history(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
        let config = history("--by hour,cause,hour --cause upstream_closed --cause crash").unwrap();
        assert_eq!((config.by, config.causes.len()), (vec![By::Hour, By::Cause], 2));
    }
}
