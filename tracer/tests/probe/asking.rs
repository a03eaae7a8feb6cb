//! Servers on loopback, and the probe that asks them.

use std::{
    collections::BTreeMap,
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

/// Where the tests' servers are said to be.
pub(crate) const HOST: &str = "www.example.com";
pub(crate) const FINE: i32 = 0;
pub(crate) const WOULD_FAIL: i32 = 4;

/// How a probe ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) report: Value,
    findings: BTreeMap<String, Value>,
}

/// Runs the command with these words.
pub(crate) fn run(words: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("probe").args(words).env_remove("RUST_LOG").current_dir("/").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    let report: Value = serde_json::from_str(&out).unwrap_or(Value::Null);
    let named = |finding: &Value| (finding["name"].as_str().unwrap().to_owned(), finding.clone());
    let findings = report["findings"].as_array().map(|all| all.iter().map(named).collect()).unwrap_or_default();
    Told { status: output.status.code().unwrap(), out, err, report, findings }
}

/// Asks a server on loopback for `path`, in JSON, with these further words.
pub(crate) fn ask(scheme: &str, port: u16, path: &str, words: &[&str]) -> Told {
    let url = format!("{scheme}://127.0.0.1:{port}{path}");
    let timeout = if words.contains(&"--timeout") { &[][..] } else { &["--timeout", "2s"] };
    let told = run(&[&[url.as_str(), "--host", HOST, "--json"], timeout, words].concat());
    assert!(told.report.is_object(), "{told:?}");
    told
}

impl Told {
    #[track_caller]
    pub(crate) fn finding(&self, name: &str) -> &Value {
        self.findings.get(name).unwrap_or_else(|| panic!("no finding {name}: {:#}", self.report))
    }

    /// This finding stands so, with this 52x and this cause.
    #[track_caller]
    pub(crate) fn shows(&self, name: &str, status: &str, edge_status: Option<u16>, cause: Option<&str>) -> &Self {
        let finding = self.finding(name);
        let told = (finding["status"].as_str(), finding["edge_status"].as_u64(), finding["cause"].as_str());
        assert_eq!(told, (Some(status), edge_status.map(u64::from), cause), "{finding:#}");
        assert_eq!(finding["advice"].is_string(), status != "ok", "{finding:#}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, name: &str, words: &str) -> &Self {
        let seen = self.finding(name)["seen"].as_str().unwrap();
        assert!(seen.contains(words), "{seen:?} does not say {words:?}");
        self
    }

    #[track_caller]
    pub(crate) fn ends(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{:#}", self.report);
        let would_fail = self.findings.values().any(|finding| finding["status"] == "would_be");
        assert_eq!(would_fail, status == WOULD_FAIL, "{:#}", self.report);
        self
    }

    /// Every finding is in order.
    #[track_caller]
    pub(crate) fn is_fine(&self) {
        let wrong: Vec<_> = self.findings.values().filter(|finding| finding["status"] != "ok").collect();
        assert!(wrong.is_empty() && !self.findings.is_empty(), "{wrong:#?}");
        self.ends(FINE);
    }
}

/// Serves each connection by `serve`, on a thread of its own, until the tests end.
pub(crate) fn serve(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Reads the head of a request; `None`: the other side has left.
pub(crate) fn head(stream: &mut impl Read) -> Option<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    Some(head)
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
