//! tracer's counters against the driver's own, and against tracer's events, port by port. Pure.

use serde_json::Value;

use super::book::{Arrives, Connections, Entry};
use super::server::{LISTENING, Server};
use crate::scrape::Metrics;

/// What one port came to: the driver's least and most, and tracer's growth.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) what: String,
    pub(super) made: (u64, u64),
    pub(super) counted: u64,
}

impl Count {
    pub(super) fn agrees(&self) -> bool {
        (self.made.0..=self.made.1).contains(&self.counted)
    }
}

/// Exchanges, connections and failures of every port. The events are those at the time of `after`.
pub(super) fn counts(
    (entries, connections): (&[Entry], &Connections),
    events: &[Value],
    before: &Metrics,
    after: &Metrics,
) -> Vec<Count> {
    let growth = |name: &str, labels: &[&str]| (after.sum(name, labels) - before.sum(name, labels)) as u64;
    let mut counts = Vec::new();
    for server in LISTENING {
        let label = format!("port=\"{}\"", server.port);
        let count = |what: &str, made, counted| Count {
            what: format!("{} :{} {what}", server.name, server.port),
            made,
            counted,
        };
        let exchanges = growth("tracer_exchanges_total", &[&label]);
        counts.push(count("exchanges", exchanges_on(server, entries), exchanges));
        let here = |event: &&Value| event["local_port"] == server.port && event["kind"].is_null();
        let told = events.iter().filter(here).count() as u64;
        let failures = growth("tracer_listener_failures_total", &[&label]);
        counts.push(count("failures told", (told, told), failures));
        for (family, v6) in [("ipv4", false), ("ipv6", true)] {
            let made = connections.get(&(server.port, v6)).copied().unwrap_or(0);
            let label_of_family = format!("family=\"{family}\"");
            let counted = growth("tracer_connections_total", &[&label, &label_of_family]);
            counts.push(count(&format!("connections over {family}"), (made, made), counted));
        }
    }
    let told = events.iter().filter(|event| event["kind"] == "origin_error").count() as u64;
    let counted = growth("tracer_origin_errors_total", &[]);
    counts.push(Count { what: "origin errors told".to_owned(), made: (told, told), counted });
    counts
}

/// Of the exchanges inside TLS, one in so many may be counted twice: tracer counts turns there, and a body that is read
/// in parts may make more than one.
const TWICE: u64 = 20;

/// Exchanges that must have been counted, and those that may have been.
fn exchanges_on(server: &Server, entries: &[Entry]) -> (u64, u64) {
    let of = |entry: &&Entry, arrives| entry.to.port() == server.port && entry.arrives == arrives;
    let here = |arrives| entries.iter().filter(|entry| of(entry, arrives)).count() as u64;
    let least = here(Arrives::Yes);
    let twice = if server.tls { least / TWICE } else { 0 };
    (least, least + here(Arrives::Perhaps) + twice)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::book::Expect;
    use super::super::edge::Seen;
    use super::super::server::{APACHE, NGINX};
    use super::*;

    fn entry(arrives: Arrives) -> Entry {
        Entry {
            server: &NGINX,
            ray: 1,
            from: "104.16.1.10:20000".parse().unwrap(),
            to: format!("10.99.0.1:{}", NGINX.port).parse().unwrap(),
            seen: Seen::Whole(200),
            took: Duration::ZERO,
            expect: Expect::Nothing,
            arrives,
        }
    }

    #[test]
    fn what_may_have_arrived_widens_the_count() {
        let entries = [Arrives::Yes, Arrives::Yes, Arrives::Perhaps, Arrives::No].map(entry);
        assert_eq!(exchanges_on(&NGINX, &entries), (2, 3));
        assert_eq!(exchanges_on(&APACHE, &entries), (0, 0));
    }

    #[test]
    fn growth_is_compared_port_by_port() {
        let page = |exchanges: u32, v6: u32| {
            let port = NGINX.port;
            Metrics::of(format!(
                "tracer_exchanges_total{{port=\"{port}\"}} {exchanges}\ntracer_exchanges_total{{port=\"1\"}} {exchanges}\n\
                 tracer_connections_total{{family=\"ipv6\",port=\"{port}\"}} {v6}\n"
            ))
        };
        let connections = Connections::from([((NGINX.port, true), 3)]);
        let counts = counts((&[entry(Arrives::Yes)], &connections), &[], &page(5, 2), &page(6, 4));
        let wrong: Vec<&Count> = counts.iter().filter(|count| !count.agrees()).collect();
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].what.ends_with("connections over ipv6"), "{}", wrong[0].what);
        assert_eq!((wrong[0].made, wrong[0].counted), ((3, 3), 2));
    }
}
