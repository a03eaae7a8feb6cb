use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

/// A file of its own, removed in the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-config-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn run(line: &str, env: &[(&str, &str)]) -> Result<RunConfig, String> {
    let env: HashMap<&str, OsString> = env.iter().map(|&(name, value)| (name, value.into())).collect();
    let Command::Run(args) =
        Cli::try_parse_from(["tracer", "run"].into_iter().chain(line.split_whitespace())).unwrap().command
    else {
        panic!("not run")
    };
    args.check_in(&|name| env.get(name).cloned()).map_err(|error| error.to_string())
}

fn watch(line: &str) -> Result<WatchConfig, String> {
    let Command::Watch(args) =
        Cli::try_parse_from(["tracer", "watch"].into_iter().chain(line.split_whitespace())).unwrap().command
    else {
        panic!("not watch")
    };
    args.check_in(&|_| None).map_err(|error| error.to_string())
}

#[test]
fn without_a_word_the_defaults_of_the_contract_hold() {
    let config = run("", &[]).unwrap();
    assert_eq!(
        config,
        RunConfig {
            settings: Settings::default(),
            listen: DEFAULT_LISTEN,
            events: None,
            journald: false,
            web_config: None
        }
    );
    assert_eq!(config.listen.to_string(), "127.0.0.1:9520");
    let seconds = |time: Duration| time.as_secs();
    let limits = config.settings.limits;
    assert_eq!([limits.connect, limits.ack, limits.read, limits.write].map(seconds), [19, 90, 125, 30]);
    assert_eq!((limits.header, config.settings.payload), (131_072, true));
    assert_eq!(config.settings.edge_ranges().unwrap(), EdgeRanges::builtin());
}

#[test]
fn flag_beats_environment_beats_file_beats_default_for_each_key() {
    let file = TempFile::new(
        "order.toml",
        "listen = \"127.0.0.1:1\"\nread-timeout = \"1s\"\nack-timeout = \"1s\"\nport = [1]\n\
         extra-range = [\"10.0.0.0/8\"]\n\
         payload = false\nheader-limit = 1\nlog-level = \"warn\"\nevents = \"file\"",
    );
    let line = format!("--config {} --read-timeout 3s --port 3 --payload", file.0.display());
    let env =
        [("TRACER_READ_TIMEOUT", "2s"), ("TRACER_ACK_TIMEOUT", "2s"), ("TRACER_PORT", "2"), ("TRACER_EVENTS", "-")];
    let config = run(&line, &env).unwrap();
    let settings = &config.settings;
    assert_eq!(settings.limits.read, Duration::from_secs(3));
    assert_eq!(settings.limits.ack, Duration::from_secs(2));
    assert_eq!(settings.limits.write, Duration::from_secs(30));
    assert_eq!(settings.ports, [3]);
    assert_eq!(settings.extra_ranges, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!((settings.payload, settings.limits.header, settings.log_level), (true, 1, Some(log::LevelFilter::Warn)));
    assert_eq!((config.listen.port(), config.events), (1, Some(Target::Stdout)));
}

#[test]
fn variables_hold_lists_with_commas_and_name_the_file() {
    let file = TempFile::new("env.toml", "write-timeout = \"7s\"");
    let path = file.0.display().to_string();
    let env = [
        ("TRACER_CONFIG", path.as_str()),
        ("TRACER_PORT", "443, 80,443"),
        ("TRACER_PAYLOAD", "false"),
        ("TRACER_LISTEN", ""),
    ];
    let config = run("", &env).unwrap();
    assert_eq!(config.settings.limits.write, Duration::from_secs(7));
    assert_eq!(config.settings.ports, [80, 443]);
    assert!(!config.settings.payload);
    assert_eq!(config.listen, DEFAULT_LISTEN, "an empty variable is none");
}

#[test]
fn no_payload_beats_the_file() {
    let file = TempFile::new("payload.toml", "payload = true");
    let line = format!("--no-payload --config {}", file.0.display());
    assert!(!run(&line, &[]).unwrap().settings.payload);
}

#[test]
fn errors_name_the_place_that_the_value_came_from() {
    let wrong = "\"2x\" is not a duration (write 1600ms, 2s or 1.5s)";
    assert_eq!(run("--read-timeout 2x", &[]).unwrap_err(), format!("--read-timeout: {wrong}"));
    assert_eq!(run("", &[("TRACER_READ_TIMEOUT", "2x")]).unwrap_err(), format!("TRACER_READ_TIMEOUT: {wrong}"));
    let file = TempFile::new("place.toml", "\nread-timeout = \"2x\"");
    let path = file.0.display().to_string();
    assert_eq!(run(&format!("--config {path}"), &[]).unwrap_err(), format!("{path}:2: read-timeout: {wrong}"));
    assert!(run("--port 0", &[]).unwrap_err().starts_with("--port: \"0\" is not a port"));
    assert!(
        run("", &[("TRACER_EXTRA_RANGE", "10.0.0.0/8,0.0.0.0/0")])
            .unwrap_err()
            .starts_with("TRACER_EXTRA_RANGE: \"0.0.0.0/0\" holds")
    );
}

#[test]
fn events_are_rotated_as_told_and_go_to_the_journal_too() {
    let rotation = |line: &str, env: &[(&str, &str)]| -> Result<_, String> {
        match run(line, env)?.events {
            Some(Target::File(_, rotation)) => Ok((rotation.max_size, rotation.keep)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rotation("--events x", &[]), Ok((Some(100 << 20), 5)));
    let file = TempFile::new("rotation.toml", "events-max-size = \"1GiB\"\nevents-keep = 9\njournald = true");
    let line = format!("--events x --config {}", file.0.display());
    assert_eq!(rotation(&line, &[]), Ok((Some(1 << 30), 9)));
    let off = [("TRACER_EVENTS_MAX_SIZE", "off"), ("TRACER_EVENTS_KEEP", "3")];
    assert_eq!(rotation(&format!("{line} --events-keep 7"), &off), Ok((None, 7)));
    assert!(rotation("--events x --events-max-size 1k", &[]).unwrap_err().starts_with("--events-max-size: \"1k\" is"));
    assert!(rotation("--events x", &[("TRACER_EVENTS_KEEP", "0")]).unwrap_err().starts_with("TRACER_EVENTS_KEEP: "));
    let journald = |line: &str| run(line, &[]).map(|config| config.journald);
    assert_eq!((journald(&line), journald("--journald")), (Ok(true), Ok(true)));
    assert_eq!(journald(&format!("{line} --journald=false")), Ok(false), "the flag beats the file");
    assert!(journald("--journald=perhaps").unwrap_err().starts_with("--journald: \"perhaps\" is neither"));
}

#[test]
fn list_where_one_value_belongs_is_refused() {
    let file = TempFile::new("list.toml", "listen = [\"127.0.0.1:1\"]\n");
    let error = run(&format!("--config {}", file.0.display()), &[]).unwrap_err();
    assert!(error.ends_with("list.toml:1: listen: takes one value, not a list"), "{error}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let error = run("--config /nowhere/tracer.toml", &[]).unwrap_err();
    assert_eq!(error, "configuration file /nowhere/tracer.toml: No such file or directory (os error 2)");
    assert!(run("--config /", &[]).unwrap_err().starts_with("configuration file /: Is a directory"));
    let settings = run("--ranges /nowhere/ips", &[]).unwrap().settings;
    assert_eq!(
        settings.edge_ranges().unwrap_err().to_string(),
        "range file /nowhere/ips: No such file or directory (os error 2)"
    );
    let noise = TempFile::new("noise", [0xff, 0xfe, 0x00]);
    let error = run(&format!("--config {}", noise.0.display()), &[]).unwrap_err();
    assert!(error.ends_with("not a text file (invalid UTF-8)"), "{error}");
    assert!(run("--config /dev/zero", &[]).unwrap_err().contains("longer than 1024 KiB"));
    let empty = TempFile::new("empty.toml", "events = \"\"");
    let error = run(&format!("--config {}", empty.0.display()), &[]).unwrap_err();
    assert!(error.ends_with("empty.toml:1: events: the path is empty"), "{error}");
}

#[test]
fn range_file_replaces_the_list_and_extra_ranges_join_it() {
    let file = TempFile::new("ips", "192.0.2.0/24\n");
    let settings = run(&format!("--ranges {} --extra-range 10.1.2.3/8", file.0.display()), &[]).unwrap().settings;
    let ranges: Vec<_> = settings.edge_ranges().unwrap().iter().map(|range| range.to_string()).collect();
    assert_eq!(ranges, ["10.0.0.0/8", "192.0.2.0/24"]);
    let written = std::fs::metadata(&file.0).unwrap().modified().unwrap();
    assert_eq!(settings.edge_ranges().unwrap().date(), Some(written.try_into().unwrap()));
    std::fs::write(&file.0, "198.51.100.0/24\nbad").unwrap();
    assert!(settings.edge_ranges().unwrap_err().to_string().contains("ips:2: \"bad\" is not a CIDR"), "read anew");
}

#[test]
fn more_ranges_than_the_kernel_takes_are_refused() {
    let list: String = (0..=limits::RANGES).map(|n| format!("10.{}.{}.0/24\n", n / 256, n % 256)).collect();
    let file = TempFile::new("many", list);
    let settings = run(&format!("--ranges {}", file.0.display()), &[]).unwrap().settings;
    assert!(settings.edge_ranges().unwrap_err().to_string().contains("more than the limit"));
}

#[test]
fn watch_takes_its_own_options_from_flags() {
    let config = watch("--json --for 1.5s --count 3 --port 80").unwrap();
    assert_eq!((config.json, config.duration, config.count), (true, Some(Duration::from_millis(1_500)), Some(3)));
    assert_eq!([watch("").unwrap().plain, watch("--plain").unwrap().plain], [false, true]);
    assert!(watch("--for 0s").unwrap_err().starts_with("--for: "));
    assert!(watch("--count 0").unwrap_err().starts_with("--count: "));
}
