//! The program's edge: what wrong use says, and with which exit status. Needs no privilege.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOT_EDGE: i32 = 1;
const WRONG_USE: i32 = 2;

/// A directory of its own, removed in the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Ended {
    status: i32,
    out: String,
    err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRACER_")) {
        command.env_remove(name);
    }
    command.args(args).env_remove("RUST_LOG").current_dir("/").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn tracer(args: &[&str]) -> Ended {
    run(&mut command(args))
}

/// Wrong use: exit status 2, standard output empty, and each of `parts` in the message.
fn refused(args: &[&str], parts: &[&str]) {
    assert_refused(&tracer(args), args, parts);
}

fn assert_refused(ended: &Ended, args: &[&str], parts: &[&str]) {
    assert_eq!(ended.status, WRONG_USE, "{args:?}: {}", ended.err);
    assert_eq!(ended.out, "", "{args:?}");
    for part in parts {
        assert!(ended.err.contains(part), "{args:?}: {part:?} is not in {:?}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{args:?}: {}", ended.err);
}

/// A command line that ends in `--config <file with this content>`.
fn refused_config(content: &str, parts: &[&str]) {
    let dir = TempDir::new("config");
    let file = dir.file("tracer.toml", content);
    for command in ["run", "watch", "doctor", "ranges"] {
        refused(&[command, "--config", &file], parts);
    }
}

#[test]
fn bad_cidr_is_named() {
    refused(&["watch", "--extra-range", "1.2.3.4/33"], &["--extra-range: \"1.2.3.4/33\" is not a CIDR"]);
    refused(&["run", "--extra-range", "0.0.0.0/0"], &["--extra-range", "0.0.0.0/0", "any stranger"]);
    refused(&["ranges", "--extra-range", "::/0"], &["--extra-range", "::/0", "any stranger"]);
}

#[test]
fn bad_range_file_is_named_with_its_line() {
    let dir = TempDir::new("ranges");
    let bad_line = dir.file("bad.txt", "10.0.0.0/8\n\nnonsense\n");
    let empty = dir.file("empty.txt", "# none\n");
    let page = dir.file("page.txt", "<!DOCTYPE html><title>IP Ranges</title>");
    for command in ["run", "watch", "ranges"] {
        refused(&[command, "--ranges", &bad_line], &["bad.txt:3: \"nonsense\" is not a CIDR"]);
        refused(&[command, "--ranges", &empty], &["empty.txt holds no range"]);
        refused(&[command, "--ranges", &page], &["page.txt is an HTML page"]);
        refused(&[command, "--ranges", "/nowhere/ips"], &["range file /nowhere/ips: No such file"]);
    }
}

#[test]
fn bad_configuration_is_named_with_file_line_and_key() {
    refused_config(
        "port = [80]\n\nlisen = \"x\"\n",
        &["tracer.toml:3: unknown key \"lisen\" (did you mean \"listen\"?)"],
    );
    refused_config("\nextra-range = [\"10.0.0.0/8\", \"x\"]", &["tracer.toml:2: extra-range: \"x\" is not a CIDR"]);
    refused_config("a = = b", &["tracer.toml:1: "]);
    refused(&["run", "--config", "/nowhere/tracer.toml"], &["configuration file /nowhere/tracer.toml: No such file"]);
    refused(&["run", "--config", "/"], &["configuration file /: Is a directory"]);
}

#[test]
fn bad_listen_address_in_the_file_is_named() {
    let dir = TempDir::new("listen");
    let file = dir.file("tracer.toml", "listen = \"localhost\"");
    refused(&["run", "--config", &file], &["tracer.toml:1: listen: \"localhost\" is not an address and a port"]);
}

#[test]
fn bad_values_are_named_with_the_right_form() {
    refused(&["run", "--read-timeout", "2x"], &["--read-timeout: \"2x\" is not a duration (write 1600ms, 2s or 1.5s)"]);
    refused(&["run", "--ack-timeout", "0s"], &["--ack-timeout: \"0s\" is no time at all"]);
    refused(&["run", "--connect-timeout=-2s"], &["--connect-timeout: \"-2s\" is not a duration"]);
    refused(&["run", "--write-timeout", "NaNs"], &["--write-timeout: \"NaNs\" is not a duration"]);
    refused(&["run", "--port", "0"], &["--port: \"0\" is not a port"]);
    refused(&["run", "--port", "65536"], &["--port: \"65536\" is not a port"]);
    refused(&["run", "--header-limit", "128k"], &["--header-limit: \"128k\" is not a number of bytes"]);
    refused(&["run", "--log-level", "loud"], &["--log-level: \"loud\" is not a log level"]);
    refused(&["run", "--listen", "9520"], &["--listen: \"9520\" is not an address and a port"]);
    refused(&["watch", "--for", "soon"], &["--for: \"soon\" is not a duration"]);
    refused(&["watch", "--count", "0"], &["--count: \"0\" is not a number from 1 up"]);
}

#[test]
fn bad_web_config_is_named_with_file_line_and_key() {
    let dir = TempDir::new("web");
    let bad = dir.file("web.yml", "\nbasic_auth_users:\n  prometheus: secret\n");
    let named = "web.yml:3: basic_auth_users: prometheus: not a bcrypt hash";
    refused(&["run", "--web-config", &bad], &[named]);
    let config = dir.file("tracer.toml", format!("web-config = {bad:?}"));
    refused(&["run", "--config", &config], &[named]);
    let ended = run(command(&["run"]).env("TRACER_WEB_CONFIG", &bad));
    assert_refused(&ended, &["run"], &[named]);
    refused(&["run", "--web-config", "/nowhere/web.yml"], &["web config file /nowhere/web.yml: No such file"]);
}

#[test]
fn bad_variables_are_named() {
    let args = &["run"];
    let ended = run(command(args).env("TRACER_READ_TIMEOUT", "2x"));
    assert_refused(&ended, args, &["TRACER_READ_TIMEOUT: \"2x\" is not a duration"]);
    let ended = run(command(args).env("TRACER_PORT", "80,http"));
    assert_refused(&ended, args, &["TRACER_PORT: \"http\" is not a port"]);
}

#[test]
fn unknown_words_are_wrong_use() {
    refused(&["run", "--lisen", "x"], &["--lisen", "--listen"]);
    refused(&["fly"], &["fly"]);
    refused(&["doctor", "--json", "--verbose"], &["--json", "--verbose"]);
    refused(&["ranges", "check", "1.2.3"], &["1.2.3"]);
    refused(&["ranges", "check"], &["IP"]);
    assert_eq!(tracer(&[]).status, WRONG_USE);
}

#[test]
fn help_and_version_are_data() {
    for args in [&["--help"][..], &["run", "--help"], &["watch", "--help"], &["--version"]] {
        let ended = tracer(args);
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{args:?}");
        assert!(ended.out.contains("tracer"), "{args:?}");
    }
}

#[test]
fn colours_are_for_terminals_and_not_where_no_color_asks_for_none() {
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = command(args);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        let ended = run(command.envs(variables.iter().copied()));
        (ended.out + &ended.err).contains('\u{1b}')
    };
    for args in [&["doctor", "--help"][..], &["fly"], &["ranges", "check", "x"]] {
        assert!(!coloured(args, &[]), "{args:?}: into a pipe");
        assert!(coloured(args, &[("CLICOLOR_FORCE", "1")]), "{args:?}: forced");
        assert!(!coloured(args, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{args:?}: NO_COLOR");
    }
}

#[test]
fn ranges_prints_the_list_with_its_source_and_reads_it_back() {
    let ended = tracer(&["ranges"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, tracer(&["ranges", "list"]).out);
    assert!(ended.out.starts_with("# Cloudflare's published list of 2026-"), "{}", ended.out);
    assert!(ended.out.contains("\n173.245.48.0/20\n") && ended.out.contains("\n2606:4700::/32\n"));
    let dir = TempDir::new("again");
    let file = dir.file("ips", &ended.out);
    let data = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(data(&tracer(&["ranges", "--ranges", &file]).out), data(&ended.out));
}

#[test]
fn ranges_check_tells_by_exit_status() {
    let edge = tracer(&["ranges", "check", "173.245.48.10"]);
    assert_eq!((edge.status, edge.out.as_str()), (0, "173.245.48.10 is edge: 173.245.48.0/20\n"));
    let stranger = tracer(&["ranges", "check", "1.2.3.4"]);
    assert_eq!((stranger.status, stranger.out.as_str()), (NOT_EDGE, "1.2.3.4 is not edge\n"));
    let added = tracer(&["ranges", "check", "1.2.3.4", "--extra-range", "1.2.3.0/24"]);
    assert_eq!((added.status, added.out.as_str()), (0, "1.2.3.4 is edge: 1.2.3.0/24\n"));
}

#[test]
fn ranges_update_takes_a_list_from_a_file_into_the_range_file() {
    let dir = TempDir::new("update");
    let list = dir.file("list", "104.16.0.0/13\n2606:4700::/32\n");
    let file = dir.file("ips", "# not yet\n");
    let ended = tracer(&["ranges", "update", "--file", &list, "--ranges", &file]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, format!("{file}: 1 IPv4, 1 IPv6 ranges\n"));
    assert_eq!(tracer(&["ranges", "check", "104.16.0.1", "--ranges", &file]).status, 0);
    let data = tracer(&["ranges", "update", "--file", &list]);
    assert!(data.out.ends_with("\n104.16.0.0/13\n2606:4700::/32\n"), "{}", data.out);
    let page = dir.file("page", "<html>");
    let ended = tracer(&["ranges", "update", "--file", &page, "--output", &file]);
    assert_eq!((ended.status, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("page is an HTML page"), "{}", ended.err);
    refused(&["ranges", "update", "--file", "/nowhere/list"], &["--file: /nowhere/list: No such file"]);
    refused(&["ranges", "update", "--url", "http://127.0.0.1/"], &["--url: ", "does not begin with https://"]);
    refused(&["ranges", "update", "--ca-file", "/nowhere/ca"], &["--ca-file: /nowhere/ca: No such file"]);
}

#[test]
fn file_and_variable_reach_ranges() {
    let dir = TempDir::new("layers");
    let file = dir.file("tracer.toml", "extra-range = [\"192.0.2.0/24\"]\n");
    assert_eq!(tracer(&["ranges", "check", "192.0.2.1", "--config", &file]).status, 0);
    let ended =
        run(command(&["ranges", "check", "198.51.100.1"]).env("TRACER_EXTRA_RANGE", "192.0.2.0/24, 198.51.100.0/24"));
    assert_eq!(ended.status, 0, "{}", ended.err);
}

#[test]
fn reader_that_leaves_is_a_quiet_end() {
    let dir = TempDir::new("pipe");
    let many: String = (0..4_000).map(|n| format!("10.{}.{}.0/24\n", n / 256, n % 256)).collect();
    let file = dir.file("ips", many);
    assert!(Path::new(&file).exists());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = command(&["ranges", "--ranges", &file]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}
