//! Asking a running tracer: its pages over HTTP, its memory through `/proc`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// A page may take so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A page of metrics in Prometheus' text format.
pub(crate) struct Metrics(String);

impl Metrics {
    /// All metrics of the tracer that listens there, now.
    pub(crate) fn scrape(tracer: SocketAddr) -> Result<Self> {
        get(tracer, "/metrics").map(Self).context("scraping tracer")
    }

    /// A page that is there already.
    #[cfg(test)]
    pub(crate) fn of(page: String) -> Self {
        Self(page)
    }

    /// The sum of a metric's samples whose labels contain all of these.
    pub(crate) fn sum(&self, name: &str, wanted: &[&str]) -> f64 {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{') && wanted.iter().all(|label| labels.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(sample).sum()
    }
}

/// The body of a page, if the answer is 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{path}: cut short"))?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{path}: {status}");
    Ok(body.to_owned())
}

/// A loopback address that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}

/// A line of `/proc/PID/status`, in bytes.
pub(crate) fn memory(status: &str, name: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kibibytes.map(|kibibytes| kibibytes * 1024.0).with_context(|| format!("no {name} in /proc/PID/status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let text = "# TYPE a counter\na{probe=\"x\"} 1.5\na{probe=\"y\"} 2\nab{probe=\"x\"} 10\nb 7\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.sum("a", &[]), 3.5);
        assert_eq!(metrics.sum("a", &["probe=\"x\""]), 1.5);
        assert_eq!(metrics.sum("b", &[]), 7.0);
        assert_eq!(metrics.sum("c", &[]), 0.0);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(memory("Name:\tx\nVmRSS:\t  2 kB\n", "VmRSS").unwrap(), 2048.0);
        assert!(memory("Name:\tx\n", "VmRSS").is_err());
    }
}
