//! Failures inside TLS whose secrets the server writes to a key log. No probe is used. The origin is Python's.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{Conn, EDGE_A, EDGE_B, Exchange, Lab, Process, Seen};
use rustix::fs::{CWD, Mode, mkfifoat};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream, SupportedProtocolVersion as Version};

use super::LIMIT;
use super::tls::{Certificate, client};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_key_log_shows_the_requests_inside_tls,
        a_fifo_serves_as_key_log,
        a_line_of_the_key_log_may_come_after_the_failure,
        without_a_line_in_the_key_log_a_failure_has_no_request,
    ]
}

const PORT: u16 = 443;
/// The Debian package's: its name does not depend on what else is installed.
const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = r#"
import socket, ssl, sys
port, certificate, key, log = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if log:
    context.keylog_filename = log
listener = socket.create_server(("", int(port)), backlog=64)
def serve(connection):
    with context.wrap_socket(connection, server_side=True) as tls:
        while request := tls.recv(65536):
            path = request.split()[1]
            if path == b"/ok":
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            elif path == b"/last":
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                return
            elif path == b"/cut":
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
                return
            else:
                return
while True:
    connection, _ = listener.accept()
    try:
        serve(connection)
    except OSError:
        connection.close()
"#;

/// A server that writes the secrets of its sessions there; to nowhere, if that is empty.
fn server(lab: &Lab, certificate: &Certificate, log: &Path) -> Result<Process> {
    let script = lab.dir().join("server.py");
    fs::write(&script, SERVER)?;
    let paths = [&script, &certificate.certificate, &certificate.key].map(|path| path.display().to_string());
    let [script, chain, key] = paths;
    let args = [script, PORT.to_string(), chain, key, log.display().to_string()];
    let process = lab.origin_command(Path::new(PYTHON), &args, None)?;
    lab.origin().wait_listening(&[PORT], LIMIT).with_context(|| format!("starting Python: {}", process.log()))?;
    Ok(process)
}

/// An edge on a connection of its own.
struct Edge {
    conn: Conn,
    tls: ClientConnection,
}

impl Edge {
    fn connect(lab: &Lab, certificate: &Certificate, version: &'static Version) -> Result<Self> {
        let from = if version.version == TLS12.version { EDGE_A } else { EDGE_B };
        Ok(Self { conn: lab.connect(from, PORT)?, tls: client(version, certificate.trusted()?)? })
    }

    /// Asks, and reads until the answer has been read, or the server has hung up.
    fn ask(&mut self, path: &str, seen: Seen) -> Result<Exchange> {
        let exchange = self.conn.exchange(seen);
        let fields = format!("Host: www.example.com\r\nCF-Ray: {}\r\nX-Padding: {:064}\r\n", exchange.ray, 0);
        let head = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
        let mut stream = Stream::new(&mut self.tls, self.conn.stream()?);
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
            }
        }
        ensure!(answer.ends_with(b"ok") == matches!(seen, Seen::Complete(_)), "{path}: {}", answer.escape_ascii());
        Ok(exchange)
    }
}

/// What must be told of a request that was read.
fn read(exchange: &Exchange, cause: &'static str, status: Option<u16>, symptom: &str, pid: u32, path: &str) -> Want {
    let status = status.map_or(serde_json::Value::Null, Into::into);
    let want = Want::new(exchange, cause, status, symptom).process("python3", pid).with("certainty", "certain");
    want.with("ray", exchange.ray.as_str()).with("host", "www.example.com").with("path", path).with("method", "GET")
}

fn with_log(path: &Path) -> String {
    format!("--tls-keylog={}", path.display())
}

/// Sound exchanges and failures, in both versions of TLS, on connections that are new and on those that are not.
fn failures(lab: &Lab, certificate: &Certificate, pid: u32) -> Result<Vec<Want>> {
    let mut wants = Vec::new();
    for version in [&TLS12, &TLS13] {
        let mut edge = Edge::connect(lab, certificate, version)?;
        let nothing = edge.ask("/nothing", Seen::Empty)?;
        wants.push(read(&nothing, "empty_reply", Some(520), "fin_no_response", pid, "/nothing"));
        let mut edge = Edge::connect(lab, certificate, version)?;
        for _ in 0..3 {
            edge.ask("/ok", Seen::Complete(200))?;
        }
        let cut = edge.ask("/cut", Seen::Partial)?;
        wants.push(read(&cut, "truncated_body", None, "fin_in_response", pid, "/cut").with("response_status", 200));
        let mut edge = Edge::connect(lab, certificate, version)?;
        edge.ask("/last", Seen::Complete(200))?;
    }
    Ok(wants)
}

fn a_key_log_shows_the_requests_inside_tls() -> Result<()> {
    let lab = Lab::new()?;
    let (certificate, log) = (Certificate::make(&lab)?, lab.dir().join("keys"));
    let agent = Agent::fresh(&[&with_log(&log)])?;
    let origin = server(&lab, &certificate, &log)?;
    let wants = failures(&lab, &certificate, origin.pid())?;
    // What was logged is nowhere in what the agent says.
    let secrets = fs::read_to_string(&log)?;
    let said = [agent.log(), fs::read_to_string(agent.events_file())?].concat();
    let secrets: Vec<_> = secrets.split_ascii_whitespace().filter(|word| word.len() >= 64).collect();
    ensure!(secrets.len() > 20 && !secrets.iter().any(|secret| said.contains(secret)), "a secret was told");
    check(agent, &lab, &wants)
}

fn a_fifo_serves_as_key_log() -> Result<()> {
    let lab = Lab::new()?;
    let (certificate, log) = (Certificate::make(&lab)?, lab.dir().join("keys"));
    mkfifoat(CWD, &log, Mode::RUSR | Mode::WUSR)?;
    let agent = Agent::fresh(&[&with_log(&log)])?;
    let mut wants = Vec::new();
    // The second one writes where the first has left.
    for _ in 0..2 {
        let origin = server(&lab, &certificate, &log)?;
        wants.extend(failures(&lab, &certificate, origin.pid())?);
    }
    check(agent, &lab, &wants)
}

fn a_line_of_the_key_log_may_come_after_the_failure() -> Result<()> {
    let lab = Lab::new()?;
    let certificate = Certificate::make(&lab)?;
    let [log, hidden] = ["keys", "hidden"].map(|name| lab.dir().join(name));
    let agent = Agent::fresh(&[&with_log(&log)])?;
    let origin = server(&lab, &certificate, &hidden)?;
    let nothing = Edge::connect(&lab, &certificate, &TLS13)?.ask("/nothing", Seen::Empty)?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(agent.events()?.is_empty(), "a verdict came before the secrets");
    let mut log = OpenOptions::new().create(true).append(true).open(&log)?;
    log.write_all(&fs::read(&hidden)?)?;
    check(agent, &lab, &[read(&nothing, "empty_reply", Some(520), "fin_no_response", origin.pid(), "/nothing")])
}

fn without_a_line_in_the_key_log_a_failure_has_no_request() -> Result<()> {
    let lab = Lab::new()?;
    let (certificate, log) = (Certificate::make(&lab)?, lab.dir().join("keys"));
    fs::write(&log, "# nothing\n")?;
    let agent = Agent::fresh(&[&with_log(&log)])?;
    let origin = server(&lab, &certificate, &PathBuf::new())?;
    for version in [&TLS12, &TLS13] {
        let mut edge = Edge::connect(&lab, &certificate, version)?;
        edge.ask("/ok", Seen::Complete(200))?;
        edge.ask("/last", Seen::Complete(200))?;
    }
    // In TLS 1.3 session tickets may hide it.
    let nothing = Edge::connect(&lab, &certificate, &TLS12)?.ask("/nothing", Seen::Empty)?;
    let want = Want::new(&nothing, "empty_reply", 520, "fin_no_response").process("python3", origin.pid());
    check(agent, &lab, &[want.with("certainty", "likely").with("ray", serde_json::Value::Null)])
}
