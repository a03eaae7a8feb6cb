//! The command line as it was typed; `config` checks it.

mod probe;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use tracer_common::cloudflare;

pub use probe::ProbeArgs;

const EXAMPLES: &str = "\
Examples:
  tracer watch                       what fails right now, and why
  tracer watch --json --for 30s      the same as NDJSON, for half a minute
  tracer run --events failures.log   the daemon, with its events in a file
  tracer explain 7d1234567890abcd    what became of this request
  tracer history --since 1h          what failed in the last hour
  tracer doctor                      can this host be traced, and how well
  tracer probe 203.0.113.5           ask an origin directly, as the edge does
  tracer ranges check 173.245.48.10  does this address count as the edge";

const RUN_EXAMPLES: &str = "\
Each option is also a key of the file (read-timeout = \"2s\") and a variable (TRACER_READ_TIMEOUT=2s).
A flag beats a variable, a variable beats the file.

Examples:
  tracer run
  tracer run --listen 0.0.0.0:9520 --events -
  tracer run --config /etc/tracer/tracer.toml --extra-range 10.0.0.0/8";

const WATCH_EXAMPLES: &str = "\
The options that `tracer run` shares are also keys of the file and variables (TRACER_PORT=80,443).

Examples:
  tracer watch
  tracer watch --plain --port 443 --count 1
  tracer watch --json --for 30s | jq -r .cause";

const EXPLAIN_EXAMPLES: &str = "\
Without --events and --journal it reads the events file that the configuration names (--config, else
/etc/tracer/tracer.toml), else it asks the running daemon for its last records. Nothing is fetched.
Exit status: 0 seen, 1 not seen.

Examples:
  tracer explain 7d1234567890abcd
  tracer explain 7d1234567890abcd-LAX --events /var/lib/tracer/events.ndjson
  tracer explain - < page.html
  tracer explain 7d1234567890abcd --journal --json | jq '.records[].cause'";

const HISTORY_EXAMPLES: &str = "\
Without --events and --journal it reads the events file that the configuration names (--config, else
/etc/tracer/tracer.toml), else it asks the running daemon for its last records.

Examples:
  tracer history
  tracer history --since 1h --host www.example.com
  tracer history --since 2026-11-20 --until 2026-11-21T12:00:00Z --by cause,hour
  tracer history --events /var/log/tracer --cause oom_kill --by process --json";

const DOCTOR_EXAMPLES: &str = "\
It also looks for the usual roots of a 520 on this host: firewall, queues, memory, disks, servers' settings.
Exit status: 0 this host can be traced, 3 it can't; what it finds on the host changes neither.

Examples:
  tracer doctor
  tracer doctor --verbose
  tracer doctor --port 3000 --extra-range 10.0.0.0/8
  tracer doctor --json | jq '.host[] | select(.status != \"ok\")'";

const LIST_EXAMPLES: &str = "\
Examples:
  tracer ranges list
  tracer ranges list --extra-range 10.0.0.0/8 > ips.txt";

const CHECK_EXAMPLES: &str = "\
Examples:
  tracer ranges check 173.245.48.10
  tracer ranges check 2606:4700::1 --ranges ips.txt";

const RANGES_EXAMPLES: &str = "\
A range file holds one CIDR a line; `#` starts a comment.

Examples:
  tracer ranges
  tracer ranges check 173.245.48.10
  tracer ranges update --output ips.txt
  tracer ranges --ranges ips.txt --extra-range 10.0.0.0/8";

const UPDATE_EXAMPLES: &str = "\
The list is checked, then replaces the file as a whole; what can't be Cloudflare's is refused.

Examples:
  tracer ranges update --output /etc/tracer/ips.txt --reload-pid /run/tracer.pid
  tracer ranges update --url https://api.cloudflare.com/client/v4/ips
  tracer ranges update --file downloaded.txt --ranges /etc/tracer/ips.txt";

/// Tells from the origin's kernel why a request from Cloudflare's edge failed.
#[derive(Clone, Debug, Parser)]
#[command(name = "tracer", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Watch as a daemon: metrics, events, a small page
    Run(RunArgs),
    /// Show failures as they happen, then a summary
    Watch(WatchArgs),
    /// Tell what became of one request, by its ray
    Explain(ExplainArgs),
    /// Count what happened, from the events that were written
    History(HistoryArgs),
    /// Tell whether this host can be traced, how well, what is missing
    Doctor(DoctorArgs),
    /// Ask an origin directly, as the edge does: what would be a 52x, and why
    Probe(ProbeArgs),
    /// Show which addresses count as the edge
    Ranges(RangesArgs),
}

/// `tracer run`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Where to serve metrics [default: 127.0.0.1:9520]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Write events as NDJSON; `-` is standard output
    #[arg(long, value_name = "FILE|-")]
    pub events: Option<PathBuf>,
    /// Rotate that file at this size [default: 100MiB]
    #[arg(long, value_name = "SIZE")]
    pub events_max_size: Option<String>,
    /// Rotated files to keep [default: 5]
    #[arg(long, value_name = "N")]
    pub events_keep: Option<String>,
    /// Write events to the systemd journal, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub journald: Option<String>,
    /// TLS and passwords, as Prometheus' exporters do
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// `tracer watch`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = WATCH_EXAMPLES)]
pub struct WatchArgs {
    /// Write events as NDJSON
    #[arg(long)]
    pub json: bool,
    /// Write lines on a terminal, too, in place of the live view
    #[arg(long)]
    pub plain: bool,
    /// Stop after this long, such as 30s
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,
    /// Stop after this many failures
    #[arg(long, value_name = "N")]
    pub count: Option<String>,
    /// Write the kernel's records to FILE, for a bug report: without header values or query strings
    #[arg(long, value_name = "FILE", hide = true)]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Where commands that look back find events.
#[derive(Clone, Debug, Default, Args)]
pub struct PastArgs {
    /// Read this events file with its rotated ones, or a folder of them (repeatable)
    #[arg(long, value_name = "PATH")]
    pub events: Vec<PathBuf>,
    /// Read the systemd journal of this unit [default unit: tracer.service]
    #[arg(long, value_name = "UNIT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "tracer.service")]
    pub journal: Option<String>,
    /// Read options from a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `tracer explain`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// 16 hexadecimal digits, a URL that holds them, or `-`: an error page on standard input
    #[arg(value_name = "RAY|URL|-")]
    pub ray: String,
    /// Show so many similar events within a minute of it [default: 5]
    #[arg(long, value_name = "N")]
    pub neighbours: Option<String>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub past: PastArgs,
}

/// `tracer history`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct HistoryArgs {
    /// From then on: how long ago (1h, 7d), a time (2026-11-20T10:00:00Z) or a day in UTC [default: all]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to then, in the same forms [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only this cause (repeatable, as the next three)
    #[arg(long, value_name = "CAUSE")]
    pub cause: Vec<String>,
    /// Only requests for this host
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Only where this process held the connection, or stood behind
    #[arg(long, value_name = "NAME")]
    pub process: Vec<String>,
    /// Only this local port
    #[arg(long, value_name = "PORT")]
    pub port: Vec<String>,
    /// Count by these, as cause,hour: cause, status, certainty, host, process, upstream, port, minute, hour, day
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    pub by: Vec<String>,
    /// Show so many rows of a table [default: 40]
    #[arg(long, value_name = "N")]
    pub rows: Option<String>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub past: PastArgs,
}

/// `tracer doctor`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct DoctorArgs {
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write a line for each hook and each cause, also where all are in order
    #[arg(long, conflicts_with = "json")]
    pub verbose: bool,
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// `tracer ranges`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = RANGES_EXAMPLES)]
pub struct RangesArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(subcommand)]
    pub action: Option<RangesAction>,
}

/// What `tracer ranges` does; without a word, it lists.
#[derive(Clone, Debug, Subcommand)]
pub enum RangesAction {
    /// Print the ranges, one a line
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Tell whether an address is edge: exit status 0 if so, 1 if not
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The address
        ip: IpAddr,
    },
    /// Fetch Cloudflare's published list into the range file
    Update(UpdateArgs),
}

/// `tracer ranges update`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = UPDATE_EXAMPLES)]
pub struct UpdateArgs {
    /// Read the list from a file instead, without a network
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "ca_file", "timeout"])]
    pub file: Option<PathBuf>,
    #[arg(long, value_name = "URL")]
    #[arg(help = "Fetch from here (repeatable) [default: https://www.cloudflare.com/ips-v4 and ips-v6]")]
    pub url: Vec<String>,
    /// Where to write [default: the range file; without one, standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Trust these authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Time for each address [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Then let this running tracer reload: its process id, or the file that holds it
    #[arg(long, value_name = "PID|FILE")]
    pub reload_pid: Option<PathBuf>,
}

/// Where the configuration and the ranges come from.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// Read options from a TOML file
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Edge ranges in place of the built-in list
    #[arg(long, value_name = "FILE", global = true)]
    pub ranges: Option<PathBuf>,
    /// One more edge range (repeatable)
    #[arg(long, value_name = "CIDR", global = true)]
    pub extra_range: Vec<String>,
}

/// A line of help that ends with its default.
fn with_default(what: &str, default: impl std::fmt::Display) -> String {
    format!("{what} [default: {default}]")
}

fn time(what: &str, default: Duration) -> String {
    with_default(what, format_args!("{}s", default.as_secs()))
}

/// The options that every tracing command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct SharedArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Local port to watch (repeatable) [default: all]
    #[arg(long, value_name = "PORT")]
    pub port: Vec<String>,
    /// How long the edge keeps trying to connect.
    #[arg(long, value_name = "TIME")]
    #[arg(help = time("How long the edge keeps trying to connect", cloudflare::CONNECT_TIMEOUT))]
    pub connect_timeout: Option<String>,
    /// How long the edge waits for its request to be acknowledged.
    #[arg(long, value_name = "TIME", help = time("How long the edge waits for an ACK", cloudflare::ACK_TIMEOUT))]
    pub ack_timeout: Option<String>,
    /// How long the edge waits for a response, or for the next bytes of one.
    #[arg(long, value_name = "TIME", help = time("How long the edge waits for a response", cloudflare::READ_TIMEOUT))]
    pub read_timeout: Option<String>,
    /// How long the edge waits for room to write its request.
    #[arg(long, value_name = "TIME")]
    #[arg(help = time("How long the edge tries to send a request", cloudflare::WRITE_TIMEOUT))]
    pub write_timeout: Option<String>,
    /// Largest header section of a response that the edge takes.
    #[arg(long, value_name = "BYTES")]
    #[arg(help = with_default("Largest response header the edge takes", cloudflare::HEADER_LIMIT))]
    pub header_limit: Option<String>,
    /// error, warn, info, debug, trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Don't read bytes: cheaper; fewer causes, no rays
    #[arg(long, overrides_with = "payload")]
    pub no_payload: bool,
    /// Look at bytes, whatever the file or the environment says
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    pub payload: bool,
    /// Read failed exchanges inside TLS, by the secrets of their sessions: see docs/tls.md
    #[arg(long, overrides_with = "no_tls_sight")]
    pub tls_sight: bool,
    /// Don't, whatever the file or the environment says
    #[arg(long, hide = true, overrides_with = "tls_sight")]
    pub no_tls_sight: bool,
    /// Read secrets from a TLS key log, too: a file or FIFO in NSS format
    #[arg(long, value_name = "PATH")]
    pub tls_keylog: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    /// A command with all below it.
    fn pages(command: &clap::Command) -> Vec<clap::Command> {
        std::iter::once(command.clone()).chain(command.get_subcommands().flat_map(pages)).collect()
    }

    #[test]
    fn every_help_fits_a_screen_and_shows_examples() {
        let mut cli = Cli::command().term_width(80);
        cli.build();
        let pages = pages(&cli);
        assert_eq!(pages.len(), 11);
        for mut page in pages {
            let name = page.get_name().to_owned();
            let text = page.render_help().to_string();
            assert!(text.lines().count() <= 50, "{name} takes {} lines:\n{text}", text.lines().count());
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{name} is too wide:\n{text}");
            assert!(text.contains("\nExamples:\n  tracer "), "{name} shows no example:\n{text}");
        }
    }

    #[test]
    fn repeated_options_keep_their_order() {
        let Command::Run(args) = parse("tracer run --port 80 --port 443 --extra-range 10.0.0.0/8").command else {
            panic!("not run")
        };
        assert_eq!(args.shared.port, ["80", "443"]);
        assert_eq!(args.shared.source.extra_range, ["10.0.0.0/8"]);
    }

    #[test]
    fn ranges_lists_unless_told_otherwise_and_takes_its_options_anywhere() {
        let Command::Ranges(args) = parse("tracer ranges").command else { panic!("not ranges") };
        assert!(args.action.is_none());
        let Command::Ranges(args) = parse("tracer ranges check 1.2.3.4 --extra-range 1.2.3.0/24").command else {
            panic!("not ranges")
        };
        assert!(matches!(args.action, Some(RangesAction::Check { .. })));
        assert_eq!(args.source.extra_range, ["1.2.3.0/24"]);
    }

    #[test]
    fn wrong_words_are_usage_errors() {
        for line in ["tracer", "tracer fly", "tracer run --lisen x", "tracer ranges check", "tracer ranges check 1.2.3"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn last_of_payload_and_no_payload_wins() {
        let Command::Watch(args) = parse("tracer watch --no-payload --payload").command else { panic!("not watch") };
        assert!(args.shared.payload && !args.shared.no_payload);
    }
}
