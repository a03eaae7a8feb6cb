//! The last records of a running daemon, which it serves at `/api/v1/records`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use ureq::{Agent, Error};

use super::record::Record;

/// Time for the whole answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer that is read, in bytes: a thousand records of the longest kind.
const MAX_ANSWER: u64 = 64 << 20;

/// What a daemon says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub address: SocketAddr,
    /// From when on it holds every record: its start, or the oldest one that it still has.
    pub begins: Timestamp,
    /// Records that were lost since its start, by the place: `tracer_events_lost_total`.
    pub lost: BTreeMap<String, u64>,
    /// The oldest first.
    pub records: Vec<Record>,
}

/// The answer as it is served.
#[derive(Deserialize)]
struct Served {
    begins: Timestamp,
    #[serde(default)]
    lost: BTreeMap<String, u64>,
    records: Vec<Value>,
}

/// Asks the daemon that listens there, on this host.
///
/// # Errors
/// Nobody answers, or not as a daemon of tracer's does.
pub fn ask(address: SocketAddr) -> Result<Answer> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let config = Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).max_idle_connections(0);
    let agent = config.proxy(None).build().new_agent();
    let url = format!("http://{address}/api/v1/records");
    let in_words = |error| anyhow!("asking the daemon at {address}: {}", in_words(error));
    let mut answer = agent.get(&url).call().map_err(in_words)?;
    let bytes = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(in_words)?;
    read(&bytes, address).ok_or_else(|| anyhow!("asking the daemon at {address}: what listens there is no tracer"))
}

/// The answer in some bytes; `None`: they are none. Records that can't be read are left out.
#[must_use]
pub fn read(bytes: &[u8], address: SocketAddr) -> Option<Answer> {
    let served: Served = serde_json::from_slice(bytes).ok()?;
    let mut records: Vec<_> = served.records.into_iter().filter_map(|value| Record::from_value(value).ok()).collect();
    records.sort_by_key(|record| record.time);
    Some(Answer { address, begins: served.begins, lost: served.lost, records })
}

/// An address that listens on all is asked on loopback.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn in_words(error: Error) -> String {
    const INSTEAD: &str = "name its events file instead (--events)";
    match error {
        Error::StatusCode(401) => format!("it asks for a password (its web-config): {INSTEAD}"),
        Error::StatusCode(404) => format!("it is older than this command, or no tracer: {INSTEAD}"),
        Error::StatusCode(status) => format!("it answered with status {status}"),
        Error::Timeout(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nobody listens there: start `tracer run`, or name an events file (--events) or the journal (--journal)"
                .to_owned()
        }
        Error::Io(error) => error.to_string(),
        _ => format!("it does not answer in HTTP; if its web-config has TLS, {INSTEAD}"),
    }
}
