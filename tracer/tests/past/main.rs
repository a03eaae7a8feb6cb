//! The commands that look back, as a whole process: the page of examples, a running daemon, a large file's memory.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

const PAGE: &str = include_str!("../../../docs/history.md");
/// A line of an example up to here must be as it stands; what follows may be anything.
const ANYTHING: char = '…';

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/past")
}

/// A shell that finds `tracer`, in the folder of the examples' files.
fn shell(line: &str) -> Command {
    let tracer = Path::new(env!("CARGO_BIN_EXE_tracer")).parent().unwrap();
    let path = std::env::join_paths([tracer.to_owned(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let mut command = Command::new("/bin/sh");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRACER_")) {
        command.env_remove(name);
    }
    command.args(["-c", line]).env("PATH", path).env("NO_COLOR", "1").current_dir(folder()).stdin(Stdio::null());
    command
}

struct Ended {
    status: i32,
    out: String,
    err: String,
}

fn run(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn tracer(line: &str) -> Ended {
    run(&mut shell(&format!("tracer {line}")))
}

/// The examples of the page: each command with what it prints.
fn examples() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut examples: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_inside = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_inside) {
            examples.push((command, Vec::new()));
        } else if is_inside && let Some((_, printed)) = examples.last_mut() {
            printed.push(line);
        }
    }
    examples
}

#[test]
fn the_examples_of_the_page_print_what_it_says() {
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for (command, expected) in examples {
        let ended = run(&mut shell(command));
        let printed: Vec<_> = ended.out.lines().collect();
        let fits = |expected: &&str, printed: &&str| match expected.split_once(ANYTHING) {
            Some((start, _)) => printed.starts_with(start),
            None => expected == printed,
        };
        let all_fit = expected.len() == printed.len() && expected.iter().zip(&printed).all(|(e, p)| fits(e, p));
        assert!(all_fit, "{command}\n{}{}\nThe page has:\n{}", ended.out, ended.err, expected.join("\n"));
    }
}

#[test]
fn a_ray_that_was_seen_is_0_one_that_was_not_1_and_wrong_use_2() {
    let seen = tracer("explain 98C14DD2A288783D-AMS --events events.ndjson --json");
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    let told: serde_json::Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!((&told["records"][0]["cause"], told["neighbours"].as_array().unwrap().len()), (&"crash".into(), 3));
    let unseen = tracer("explain 0000000000000000 --events events.ndjson --json");
    assert_eq!((unseen.status, unseen.err.as_str()), (1, ""));
    let told: serde_json::Value = serde_json::from_str(&unseen.out).unwrap();
    assert_eq!((told["records"].as_array().unwrap().len(), told["reasons"].as_array().unwrap().len()), (0, 5));
    for (line, part) in [
        ("explain", "RAY"),
        ("explain xyz --events events.ndjson", "\"xyz\" is no ray"),
        ("explain https://e.com/ --events events.ndjson", "the URL holds no ray"),
        ("explain - --events events.ndjson", "standard input holds no ray"),
        ("explain 98c14dd2a288783d --events /nowhere/e", "/nowhere/e: No such file"),
        ("explain 98c14dd2a288783d --events /dev/zero", "neither a file nor a folder"),
        ("explain 98c14dd2a288783d --neighbours 0", "--neighbours: \"0\" is not a number"),
        ("history --cause oom --events events.ndjson", "--cause: \"oom\" is no cause"),
        ("history --config /nowhere/tracer.toml", "/nowhere/tracer.toml: No such file"),
    ] {
        let ended = tracer(line);
        assert_eq!((ended.status, ended.out.as_str()), (2, ""), "{line}: {}", ended.err);
        assert!(ended.err.contains(part), "{line}: {}", ended.err);
    }
}

/// A listener on loopback that gives this answer to whoever asks, so many times; gives what was asked for.
fn daemon(answer: String, times: usize) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || {
        let mut asked = Vec::new();
        for _ in 0..times {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    };
    (address, thread::spawn(serve))
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn without_a_source_the_running_daemon_is_asked() {
    let records = fs::read_to_string(folder().join("events.ndjson")).unwrap().trim().replace('\n', ",");
    let body = format!(
        r#"{{"schema":1,"begins":"2026-10-14T02:00:00Z","lost":{{"ring":3,"events":0}},"records":[{records}]}}"#
    );
    let (address, asked) = daemon(http("200 OK", &body), 4);
    let seen = run(shell("tracer explain 98c14dd2a288783d").env("TRACER_LISTEN", &address));
    assert_eq!(seen.status, 0, "{}", seen.err);
    assert!(seen.out.starts_with(&format!("2026-10-14, from the daemon at {address}\n02:11:50.247Z  520 crash")));
    let unseen = run(shell("tracer explain 0000000000000000").env("TRACER_LISTEN", &address));
    assert_eq!(unseen.status, 1, "{}", unseen.err);
    for part in ["begin, which is at 2026-10-14T02:00:00Z", "2 events here have none", "events_lost_total: ring 3)"] {
        assert!(unseen.out.contains(part), "{part} not in {}", unseen.out);
    }
    let history = run(shell("tracer history --by process --json").env("TRACER_LISTEN", &address));
    let told: serde_json::Value = serde_json::from_str(&history.out).unwrap();
    assert_eq!((&told["failures"]["count"], &told["origin_errors"]["count"]), (&5.into(), &1.into()));
    // With a file, it is asked for what it lost.
    let line = "tracer explain 0000000000000000 --events events.ndjson";
    assert!(run(shell(line).env("TRACER_LISTEN", &address)).out.contains("events_lost_total: ring 3)"));
    assert_eq!(asked.join().unwrap(), vec!["GET /api/v1/records HTTP/1.1"; 4]);
}

#[test]
fn a_daemon_that_can_not_be_asked_is_named_with_what_to_do() {
    for (answer, part) in [
        (http("401 Unauthorized", ""), "asks for a password"),
        (http("404 Not Found", ""), "older than this command"),
        (http("200 OK", "<html>"), "no tracer"),
        ("\x15\x03\x01\0\x02\x02\x46".to_owned(), "does not answer in HTTP"),
    ] {
        let (address, asked) = daemon(answer, 1);
        let ended = run(shell("tracer history").env("TRACER_LISTEN", &address));
        assert_eq!((ended.status, ended.out.as_str()), (1, ""), "{part}: {}", ended.err);
        assert!(ended.err.contains(part) && ended.err.contains(&address), "{part}: {}", ended.err);
        asked.join().unwrap();
    }
}
