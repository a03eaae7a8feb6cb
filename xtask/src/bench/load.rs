//! The server and its load: nginx on one core, wrk on another, both in a network namespace of the lab.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::Workload;
use lab::{Lab, Nginx, NginxOptions};

/// The port that nginx listens on. An unusual one, so that other traffic on this host does not count.
pub(super) const PORT: u16 = 28_080;
/// The same over TLS.
pub(super) const TLS_PORT: u16 = 28_443;
/// Bytes of the response's body.
pub(super) const BODY: usize = 1024;
/// Connections that wrk keeps busy.
pub(super) const CONNECTIONS: u32 = 16;
/// Where each request is a handshake: wrk hits the probes of sight inside TLS, too, and must not make them pause.
pub(super) const HANDSHAKES: u32 = 1;
pub(super) const PORTS: [u16; 2] = [PORT, TLS_PORT];
/// Cores of nginx and of wrk.
pub(super) const CORES: [usize; 2] = [0, 1];
/// Makes wrk print exact numbers at its end.
const SUMMARY: &str = r#"done = function(all)
  local errors = all.errors
  print("bench", all.requests, all.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout)
end
"#;

/// What one run of the load came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) requests: u64,
    /// How long the load ran, in seconds.
    pub(super) seconds: f64,
    /// CPU time that nginx' worker took, in seconds.
    pub(super) server_cpu: f64,
}

impl Segment {
    /// Requests per second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// CPU time of nginx for each request, in microseconds.
    pub(super) fn server_us(&self) -> f64 {
        self.server_cpu * 1e6 / self.requests as f64
    }
}

/// A running nginx, ready to be loaded.
pub(super) struct Bed<'a> {
    lab: &'a Lab,
    worker: u32,
    script: PathBuf,
    _nginx: Nginx,
}

impl<'a> Bed<'a> {
    pub(super) fn start(lab: &'a Lab) -> Result<Self> {
        let script = lab.dir().join("summary.lua");
        fs::write(&script, SUMMARY).with_context(|| format!("writing {}", script.display()))?;
        // Short connections leave their ports in use for a minute.
        lab.origin().sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
        let http = format!(
            "keepalive_requests 1000000000; keepalive_timeout 75s;
             server {{ listen 127.0.0.1:{PORT}; listen 127.0.0.1:{TLS_PORT} ssl;
             ssl_protocols TLSv1.3; {} location / {{ return 200 {}; }} }}",
            certificate(lab.dir())?,
            "x".repeat(BODY)
        );
        let affinity = format!("worker_cpu_affinity {:b};", 1 << CORES[0]);
        let nginx =
            Nginx::start(lab, &NginxOptions { main: &affinity, http: &http, ports: &PORTS, workers: 1, group: None })?;
        let worker = *nginx.workers().first().context("nginx has no worker")?;
        Ok(Self { lab, worker, script, _nginx: nginx })
    }

    /// A folder for files; removed with the lab.
    pub(super) fn dir(&self) -> &Path {
        self.lab.dir()
    }

    /// Runs the load for so many seconds.
    pub(super) fn load(&self, workload: Workload, seconds: u32) -> Result<Segment> {
        let mut wrk = Command::new("taskset");
        let core = if std::thread::available_parallelism()?.get() > 1 { CORES[1] } else { CORES[0] };
        let connections = if workload == Workload::TlsShort { HANDSHAKES } else { CONNECTIONS };
        wrk.args(["-c", &core.to_string(), "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"])
            .arg(&self.script);
        if workload.is_short() {
            wrk.args(["-H", "Connection: close"]);
        }
        wrk.arg(match workload.is_tls() {
            true => format!("https://127.0.0.1:{TLS_PORT}/"),
            false => format!("http://127.0.0.1:{PORT}/"),
        });
        wrk.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let before = cpu_seconds(self.worker)?;
        let wrk = self.lab.origin().inside(|| wrk.spawn())?.context("starting wrk")?;
        let done = wrk.wait_with_output().context("waiting for wrk")?;
        let server_cpu = cpu_seconds(self.worker)? - before;
        let output = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "wrk failed: {output}{errors}");
        let (requests, seconds) =
            summary(&output).with_context(|| format!("reading wrk's output: {output}{errors}"))?;
        Ok(Segment { requests, seconds, server_cpu })
    }
}

/// nginx's lines for a certificate of the usual kind, an RSA key of 2,048 bits.
fn certificate(dir: &Path) -> Result<String> {
    let [key, certificate] = ["bench.key", "bench.crt"].map(|name| dir.join(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .context("starting openssl")?;
    ensure!(made.status.success(), "openssl made no certificate: {}", String::from_utf8_lossy(&made.stderr));
    Ok(format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
}

/// Requests and seconds from the line that [`SUMMARY`] prints. An error where wrk had errors: what fails is not
/// healthy.
fn summary(output: &str) -> Result<(u64, f64)> {
    let line = output.lines().find_map(|line| line.strip_prefix("bench\t")).context("no summary")?;
    let fields: Vec<u64> = line.split('\t').map(str::parse).collect::<Result<_, _>>().context("not a number")?;
    match fields[..] {
        [requests, micros, 0] if requests > 0 && micros > 0 => Ok((requests, micros as f64 / 1e6)),
        _ => bail!("requests, microseconds, errors: {line}"),
    }
}

/// CPU time of a process so far, over all its threads, in seconds: the clock behind utime + stime, in nanoseconds.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} has ended"))? {
        let path = task?.path().join("schedstat");
        let text = match fs::read_to_string(&path) {
            // The thread has ended since it was listed; its time is gone with it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let first = text.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        nanos += first.with_context(|| format!("{} does not begin with a number", path.display()))?;
    }
    Ok(nanos as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_and_errors_are_refused() {
        assert_eq!(summary("Running\nbench\t1000\t2500000\t0\n").unwrap(), (1000, 2.5));
        assert!(summary("bench\t1000\t2500000\t3\n").is_err());
        assert!(summary("bench\t0\t2500000\t0\n").is_err());
        assert!(summary("Running").is_err());
    }

    #[test]
    fn this_process_has_used_cpu_time() {
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
    }
}
