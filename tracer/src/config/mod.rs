//! What was typed becomes what was checked: flags, environment, file and defaults, in this order, per key.

mod file;
mod layers;
mod output;
mod past;
mod probe;
mod text;
mod update;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracer_common::limits;

use crate::cli::{DoctorArgs, RangesAction, RangesArgs, RunArgs, SharedArgs, SourceArgs, WatchArgs};
use crate::diagnose::Limits;
use crate::edge::EdgeRanges;
use layers::{Environment, Layers};
pub(crate) use output::JOURNAL_SOCKET;
pub use output::{Rotation, Target};
pub use past::{By, ExplainConfig, HistoryConfig, Past};
pub use probe::{Asked, ProbeConfig};
pub use text::Invalid;
pub(crate) use text::read_text;
pub use update::{Origin, Reload, UpdateConfig};

/// Where `run` serves its metrics, unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9520);

/// Where the edge's ranges come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RangeSource {
    /// The published list that is built in.
    #[default]
    BuiltIn,
    /// A file with one CIDR a line.
    File(PathBuf),
}

/// What every tracing command needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub ranges: RangeSource,
    pub extra_ranges: Vec<IpNet>,
    /// Sorted, each once; empty: every port that is listened on.
    pub ports: Vec<u16>,
    /// The edge's timeouts and limits.
    pub limits: Limits,
    /// `None`: `RUST_LOG`, else `info`.
    pub log_level: Option<log::LevelFilter>,
    /// Whether the bytes of requests and responses are looked at.
    pub payload: bool,
    /// Whether probes in TLS libraries show the secrets of edge connections.
    pub tls_sight: bool,
    /// A key log from which such secrets are read.
    pub tls_keylog: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ranges: RangeSource::BuiltIn,
            extra_ranges: Vec::new(),
            ports: Vec::new(),
            limits: Limits::default(),
            log_level: None,
            payload: true,
            tls_sight: false,
            tls_keylog: None,
        }
    }
}

impl Settings {
    /// The ranges in force; reads the range file anew.
    ///
    /// # Errors
    /// A file that can't be read or is no list of ranges; more ranges than the kernel's table takes.
    pub fn edge_ranges(&self) -> Result<EdgeRanges, Invalid> {
        edge_ranges(&self.ranges, &self.extra_ranges)
    }

    /// Whether failed exchanges inside TLS are to be read, wherever the secrets come from.
    #[must_use]
    pub const fn reads_tls(&self) -> bool {
        self.tls_sight || self.tls_keylog.is_some()
    }
}

/// `tracer run`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunConfig {
    pub settings: Settings,
    pub listen: SocketAddr,
    pub events: Option<Target>,
    /// Whether events go to the systemd journal.
    pub journald: bool,
    /// Who may read the web surface, and how; `None`: plain HTTP for everyone.
    pub web_config: Option<PathBuf>,
}

/// `tracer watch`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    pub settings: Settings,
    pub json: bool,
    /// Lines, on a terminal too.
    pub plain: bool,
    pub duration: Option<Duration>,
    /// Failures after which to stop.
    pub count: Option<u64>,
    /// Where to write the kernel's records.
    pub record: Option<PathBuf>,
}

/// `tracer doctor`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorConfig {
    pub settings: Settings,
    pub json: bool,
    pub verbose: bool,
}

/// `tracer ranges`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangesConfig {
    pub ranges: EdgeRanges,
    /// The address to check; `None`: list the ranges.
    pub check: Option<IpAddr>,
}

impl RunArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<RunConfig, Invalid> {
        self.check_in(&layers::process_environment)
    }

    fn check_in(&self, env: Environment<'_>) -> Result<RunConfig, Invalid> {
        let layers = Layers::open(&self.shared.source, env)?;
        let rotation = rotation(&layers, self)?;
        let events = layers.path("events", self.events.as_deref())?.map(|path| match path.to_str() {
            Some("-") => Target::Stdout,
            _ => Target::File(path, rotation),
        });
        Ok(RunConfig {
            settings: settings(&layers, &self.shared)?,
            listen: layers.one("listen", self.listen.as_deref(), value::address)?.unwrap_or(DEFAULT_LISTEN),
            web_config: layers.path("web-config", self.web_config.as_deref())?,
            events,
            journald: layers.one("journald", self.journald.as_deref(), value::boolean)?.unwrap_or(false),
        })
    }
}

impl WatchArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<WatchConfig, Invalid> {
        self.check_in(&layers::process_environment)
    }

    fn check_in(&self, env: Environment<'_>) -> Result<WatchConfig, Invalid> {
        let layers = Layers::open(&self.shared.source, env)?;
        Ok(WatchConfig {
            settings: settings(&layers, &self.shared)?,
            json: self.json,
            plain: self.plain,
            duration: layers::flag("for", self.duration.as_deref(), value::duration)?,
            count: layers::flag("count", self.count.as_deref(), value::count)?,
            record: self.record.clone(),
        })
    }
}

impl DoctorArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<DoctorConfig, Invalid> {
        let layers = Layers::open(&self.shared.source, &layers::process_environment)?;
        Ok(DoctorConfig { settings: settings(&layers, &self.shared)?, json: self.json, verbose: self.verbose })
    }
}

impl RangesArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be, the range file's content included.
    pub fn check(&self) -> Result<RangesConfig, Invalid> {
        let layers = Layers::open(&self.source, &layers::process_environment)?;
        let (ranges, extra) = sources(&layers, &self.source)?;
        let check = match self.action {
            Some(RangesAction::Check { ip }) => Some(ip),
            Some(RangesAction::List | RangesAction::Update(_)) | None => None,
        };
        Ok(RangesConfig { ranges: edge_ranges(&ranges, &extra)?, check })
    }
}

fn rotation(layers: &Layers<'_>, args: &RunArgs) -> Result<Rotation, Invalid> {
    let default = Rotation::default();
    let max_size = layers.one("events-max-size", args.events_max_size.as_deref(), value::max_size)?;
    let keep = layers.one("events-keep", args.events_keep.as_deref(), value::keep)?;
    Ok(Rotation { max_size: max_size.unwrap_or(default.max_size), keep: keep.unwrap_or(default.keep) })
}

fn settings(layers: &Layers<'_>, args: &SharedArgs) -> Result<Settings, Invalid> {
    let default = Settings::default();
    let time = |key, typed: &Option<String>, default| {
        layers.one(key, typed.as_deref(), value::duration).map(|time| time.unwrap_or(default))
    };
    let limits = Limits {
        connect: time("connect-timeout", &args.connect_timeout, default.limits.connect)?,
        ack: time("ack-timeout", &args.ack_timeout, default.limits.ack)?,
        read: time("read-timeout", &args.read_timeout, default.limits.read)?,
        write: time("write-timeout", &args.write_timeout, default.limits.write)?,
        header: layers
            .one("header-limit", args.header_limit.as_deref(), value::bytes)?
            .unwrap_or(default.limits.header),
    };
    let (ranges, extra_ranges) = sources(layers, &args.source)?;
    let payload = if args.payload || args.no_payload { Some(args.payload) } else { None };
    let tls_sight = if args.tls_sight || args.no_tls_sight { Some(args.tls_sight) } else { None };
    Ok(Settings {
        ranges,
        extra_ranges,
        ports: ports(layers.list("port", &args.port, value::port)?)?,
        limits,
        log_level: layers.one("log-level", args.log_level.as_deref(), value::level)?,
        payload: payload
            .map_or_else(|| layers.one("payload", None, value::boolean), |typed| Ok(Some(typed)))?
            .unwrap_or(default.payload),
        tls_sight: tls_sight
            .map_or_else(|| layers.one("tls-sight", None, value::boolean), |typed| Ok(Some(typed)))?
            .unwrap_or(default.tls_sight),
        tls_keylog: layers.path("tls-keylog", args.tls_keylog.as_deref())?,
    })
}

fn sources(layers: &Layers<'_>, args: &SourceArgs) -> Result<(RangeSource, Vec<IpNet>), Invalid> {
    let ranges = layers.path("ranges", args.ranges.as_deref())?.map_or(RangeSource::BuiltIn, RangeSource::File);
    Ok((ranges, layers.list("extra-range", &args.extra_range, value::range)?))
}

fn ports(mut ports: Vec<u16>) -> Result<Vec<u16>, Invalid> {
    ports.sort_unstable();
    ports.dedup();
    if ports.len() > limits::WATCHED_PORTS as usize {
        let limit = limits::WATCHED_PORTS;
        return Err(Invalid::new(format!("{} ports are more than the {limit} that can be watched", ports.len())));
    }
    Ok(ports)
}

fn edge_ranges(source: &RangeSource, extra: &[IpNet]) -> Result<EdgeRanges, Invalid> {
    let ranges = match source {
        RangeSource::BuiltIn => EdgeRanges::builtin(),
        RangeSource::File(path) => {
            let text = read_text(path).map_err(|why| Invalid::new(format!("range file {}: {why}", path.display())))?;
            let ranges = EdgeRanges::parse(&text, &path.display().to_string());
            let written = std::fs::metadata(path).and_then(|file| file.modified()).ok();
            ranges.map_err(|error| Invalid::new(error.to_string()))?.written(written)
        }
    };
    let ranges = ranges.with_extra(extra);
    if ranges.len() > limits::RANGES as usize {
        let (found, limit) = (ranges.len(), limits::RANGES);
        return Err(Invalid::new(format!(
            "{found} edge ranges ({}) are more than the limit of {limit}",
            ranges.source()
        )));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests;
