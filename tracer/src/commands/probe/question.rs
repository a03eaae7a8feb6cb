//! The questions: each on a connection of its own.

use std::{net::SocketAddr, time::Duration};

use tokio_rustls::rustls::{ALL_VERSIONS, pki_types::ServerName};
use tracer_common::cloudflare::CONNECT_TIMEOUT;

use super::{
    answer::{Sent, judge},
    extras,
    finding::Finding,
    handshake::{BOTH, HTTP1, Offer, shake},
    http1::{self, Duplex},
    http2,
    link::{Unconnected, connect},
    request,
    seen::{advise, evidence, span},
    tls,
};
use crate::{
    config::{Asked, ProbeConfig},
    diagnose::Cause,
};

pub(super) const CONNECTION: &str = "connection";

/// What the edge would make of a connection that could not be opened.
pub(super) fn unconnected(error: &Unconnected, asked: &Asked, origin: SocketAddr) -> Finding {
    match error {
        Unconnected::Refused => {
            let advice = advise(Cause::PortClosed, &evidence(origin));
            Finding::would_be(CONNECTION, 521, "refused", advice).told_as(Cause::PortClosed)
        }
        Unconnected::Reset => {
            let (cause, status) =
                if asked.tls { (Cause::TlsHandshakeFailed, 525) } else { (Cause::ClosedBeforeRequest, 520) };
            let advice = advise(Cause::ClosedBeforeRequest, &evidence(origin));
            Finding::would_be(CONNECTION, status, "reset as soon as it was open", advice).told_as(cause)
        }
        Unconnected::Unreachable => Finding::would_be(
            CONNECTION,
            523,
            "no way there: this host has no route, or a router or firewall says that there is none",
            "look at the route (`ip route get`), and for firewall rules at the origin that reject with ICMP",
        ),
        Unconnected::Silent(time) => {
            let seen = format!("no answer in {}", span(*time));
            let advice = "look for a firewall that drops packets, at the origin or before it, and let Cloudflare's \
                          ranges pass (`tracer ranges list`); `tracer doctor` there follows them through its rules";
            let found = Finding::would_be(CONNECTION, 522, seen, advice);
            let is_long = *time >= CONNECT_TIMEOUT;
            if is_long { found } else { found.risk_only() }
        }
        Unconnected::Other(error) => Finding::unknown(
            CONNECTION,
            format!("this host could not connect: {error}"),
            "look at this host's own firewall and limits, or ask from another one",
        ),
    }
}

/// What the questions have in common.
pub(super) struct Question<'a> {
    pub(super) asked: &'a Asked,
    pub(super) origin: SocketAddr,
    pub(super) patience: Duration,
    /// `None`: plain HTTP.
    pub(super) name: Option<ServerName<'static>>,
}

impl Question<'_> {
    /// A new connection, inside TLS where that is asked for; or what was in the way.
    async fn open(&self, what: &'static str, protocols: &[&[u8]]) -> Result<Box<dyn Duplex>, Finding> {
        let link = match connect(self.origin, self.patience).await {
            Ok((link, _)) => link,
            Err(error) => return Err(Finding { name: what, ..unconnected(&error, self.asked, self.origin) }),
        };
        let Some(name) = &self.name else { return Ok(Box::new(link)) };
        let offer = Offer { name: name.clone(), protocols, versions: ALL_VERSIONS };
        match shake(link, &offer, self.patience).await {
            Ok(shaken) => Ok(shaken.stream),
            Err(unshaken) => Err(Finding { name: what, ..tls::unshaken(&unshaken, self.origin) }),
        }
    }

    /// What one request showed, and the status of its answer.
    pub(super) async fn http1(&self) -> (Vec<Finding>, Option<u16>) {
        const NAME: &str = "HTTP/1.1";
        let mut stream = match self.open(NAME, HTTP1).await {
            Ok(stream) => stream,
            Err(found) => return (vec![found], None),
        };
        let request = request::get(self.asked);
        http1::send(&mut *stream, &request, self.patience).await;
        let answer = http1::read(&mut *stream, "GET", self.patience).await;
        let sent = Sent { origin: self.origin, bytes: request.len() as u64, large_head: None };
        (judge(NAME, sent, &answer), answer.response.status)
    }

    pub(super) async fn http2(&self, is_agreed: bool) -> Vec<Finding> {
        if !is_agreed {
            return vec![Finding::ok(http2::NAME, "not offered: the edge speaks HTTP/1.1")];
        }
        match self.open(http2::NAME, BOTH).await {
            Ok(stream) => http2::ask(stream, self.asked, self.origin, self.patience).await,
            Err(found) => vec![found],
        }
    }

    pub(super) async fn extras(&self, config: &ProbeConfig) -> Vec<Finding> {
        let (asked, origin, patience) = (self.asked, self.origin, self.patience);
        let mut found = Vec::new();
        if config.large_head {
            found.push(match self.open(extras::LARGE, HTTP1).await {
                Ok(stream) => extras::large_head(stream, asked, origin, patience).await,
                Err(found) => found,
            });
        }
        if config.expect_continue {
            found.push(match self.open(extras::EXPECT, HTTP1).await {
                Ok(stream) => extras::expect(stream, asked, origin, patience).await,
                Err(found) => found,
            });
        }
        if let Some(takes) = config.slow_body {
            found.push(match self.open(extras::SLOW, HTTP1).await {
                Ok(stream) => extras::slow_body(stream, asked, origin, (takes, patience)).await,
                Err(found) => found,
            });
        }
        if let Some(longest) = config.keep_alive {
            found.push(match self.open(extras::IDLE, HTTP1).await {
                Ok(stream) => extras::keep_alive(stream, asked, origin, (longest, patience)).await,
                Err(found) => found,
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::probe::finding::Status;

    #[test]
    fn connections_that_do_not_come_about_have_the_edges_statuses() {
        let asked = |tls| Asked {
            server: "192.0.2.1".to_owned(),
            port: 443,
            tls,
            host: "a.example".to_owned(),
            name: "a.example".to_owned(),
            target: "/".to_owned(),
        };
        let origin = SocketAddr::from(([192, 0, 2, 1], 443));
        let other = || Unconnected::Other(std::io::Error::other("no descriptor"));
        for (error, tls, status, edge_status) in [
            (Unconnected::Refused, true, Status::WouldBe, Some(521)),
            (Unconnected::Silent(CONNECT_TIMEOUT), true, Status::WouldBe, Some(522)),
            (Unconnected::Silent(Duration::from_secs(18)), true, Status::AtRisk, Some(522)),
            (Unconnected::Unreachable, true, Status::WouldBe, Some(523)),
            (Unconnected::Reset, true, Status::WouldBe, Some(525)),
            (Unconnected::Reset, false, Status::WouldBe, Some(520)),
            (other(), true, Status::Unknown, None),
        ] {
            let found = unconnected(&error, &asked(tls), origin);
            assert_eq!((found.status, found.edge_status), (status, edge_status), "{error:?}");
            assert!(found.advice.is_some());
            let announces = |cause: Cause| cause.edge_statuses().contains(&found.edge_status);
            assert!(found.cause.is_none_or(announces), "{found:?}");
        }
    }
}
