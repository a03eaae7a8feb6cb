//! `tracer probe`: asks an origin directly, as the edge does, and says what would be a 52x. It connects to whom it is
//! told to, and to nobody else.

mod answer;
mod certificate;
mod extras;
mod finding;
mod handshake;
mod http1;
mod http2;
mod link;
mod question;
mod request;
mod seen;
mod tls;
mod trust;

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail};
use tokio::{net::lookup_host, time::timeout};
use tokio_rustls::rustls::{
    ALL_VERSIONS,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use super::runtime;
use crate::{
    cli::ProbeArgs,
    config::{Invalid, ProbeConfig},
    diagnose::Cause,
    edge::EdgeRanges,
    exit::{DONE, WOULD_FAIL},
    sinks::escape,
};
use finding::{Finding, Modes, Report, Status};
use handshake::{BOTH, Offer, shake};
use link::{Link, connect};
use question::{CONNECTION, Question, unconnected};
use seen::{advise, evidence, span};
use tls::Without;
use trust::Trust;

/// Version of the report's format.
const SCHEMA: u32 = 1;

/// Asks the origin and reports. Exit status 4 where the edge would show a 52x, else 0.
///
/// # Errors
/// Wrong use, a name that can't be looked up, or standard output can't be written to.
pub fn run(args: &ProbeArgs) -> Result<u8> {
    let config = args.check()?;
    let trust = Trust::load(config.ca_file.as_deref())?;
    let runtime = runtime()?;
    let asked = runtime.block_on(async {
        let origin = resolve(&config).await?;
        Ok::<_, anyhow::Error>(examine(&config, &trust, origin).await)
    });
    // A resolver that does not answer is not waited for.
    runtime.shutdown_background();
    let report = asked?;
    let text =
        if config.json { escape::json(&serde_json::to_string(&report)?).into_owned() + "\n" } else { report.text() };
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error).context("writing the report"),
        _ => {}
    }
    Ok(if report.would_fail() { WOULD_FAIL } else { DONE })
}

/// The address to ask: the first one of a name. Cloudflare's own is refused: it is not the origin's.
async fn resolve(config: &ProbeConfig) -> Result<SocketAddr> {
    let asked = &config.asked;
    let origin = match asked.server.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, asked.port),
        Err(_) => {
            let found = timeout(config.timeout, lookup_host((asked.server.as_str(), asked.port))).await;
            let found = found.with_context(|| format!("no answer in {} (see --timeout)", span(config.timeout)));
            let mut found =
                found.and_then(|found| Ok(found?)).with_context(|| format!("looking up {}", asked.server))?;
            found.next().with_context(|| format!("{} has no address", asked.server))?
        }
    };
    if let Some(range) = EdgeRanges::builtin().range_of(origin.ip()) {
        bail!(Invalid::new(format!(
            "{} is Cloudflare's edge ({range}), not the origin: give the origin's own address, and the site by --host",
            origin.ip()
        )));
    }
    Ok(origin)
}

/// Asks everything, one question after the other.
async fn examine(config: &ProbeConfig, trust: &Trust, origin: SocketAddr) -> Report {
    let asked = &config.asked;
    let mut report = Report {
        schema: SCHEMA,
        time: jiff::Timestamp::now(),
        address: origin.ip(),
        port: origin.port(),
        tls: asked.tls,
        host: asked.host.clone(),
        name: asked.name.clone(),
        path: asked.target.split('?').next().unwrap_or_default().to_owned(),
        modes: None,
        findings: Vec::new(),
    };
    let patience = config.timeout;
    let link = match connect(origin, patience).await {
        Ok((link, took)) => {
            report.findings.push(Finding::ok(CONNECTION, format!("open after {}", span(took))));
            link
        }
        Err(error) => {
            report.findings.push(unconnected(&error, asked, origin));
            return report;
        }
    };
    let mut question = Question { asked, origin, patience, name: None };
    let (mut speaks_http2, mut client) = (false, None);
    if asked.tls {
        let Ok(name) = ServerName::try_from(asked.name.clone()) else {
            let seen = format!("{} can't be a server name", asked.name);
            report.findings.push(Finding::unknown(tls::NAME, seen, "give one with --sni"));
            return report;
        };
        question.name = Some(name.clone());
        let secured = secure(&question, link, trust, &name).await;
        report.modes = secured.modes;
        report.findings.extend(secured.findings.into_iter().map(|one| {
            if config.full && one.edge_status == Some(certificate::REFUSED) { one.risk_only() } else { one }
        }));
        client = secured.asked;
        let Some(agreed) = secured.agreed else {
            if client.is_some() {
                report.findings.push(tls::client_certificate(client.as_deref(), Without::HungUp, origin));
            }
            return report;
        };
        speaks_http2 = agreed;
    } else {
        drop(link);
    }
    let (plain, status) = question.http1().await;
    if asked.tls {
        let hung_up = client.is_some() && plain.iter().any(tls::may_lack_certificate);
        let without = match status {
            _ if hung_up => Without::HungUp,
            Some(400) => Without::BadRequest,
            _ => Without::Answered,
        };
        report.findings.push(tls::client_certificate(client.as_deref(), without, origin));
        if hung_up {
            // With Authenticated Origin Pulls on, the edge has a certificate, and what it would see is not known.
            return report;
        }
    }
    report.findings.extend(plain);
    if asked.tls {
        report.findings.extend(question.http2(speaks_http2).await);
    }
    report.findings.extend(question.extras(config).await);
    report
}

/// What TLS showed before a request.
struct Secured {
    findings: Vec<Finding>,
    /// `None`: they could not be judged.
    modes: Option<Modes>,
    /// The client certificate that was asked for.
    asked: Option<Vec<String>>,
    /// Whether HTTP/2 was agreed upon; `None`: there was no handshake.
    agreed: Option<bool>,
}

/// The handshakes and the certificate.
async fn secure(question: &Question<'_>, link: Link, trust: &Trust, name: &ServerName<'static>) -> Secured {
    let origin = question.origin;
    let offer = |versions| Offer { name: name.clone(), protocols: BOTH, versions };
    let shaken = match shake(link, &offer(ALL_VERSIONS), question.patience).await {
        Ok(shaken) => shaken,
        Err(unshaken) => {
            let found = tls::unshaken(&unshaken, origin);
            let failed = found.edge_status.filter(|_| found.status == Status::WouldBe);
            let modes = failed.map(|status| Modes { full: Some(status), full_strict: Some(status) });
            return Secured { findings: vec![found], modes, asked: unshaken.asked, agreed: None };
        }
    };
    let is_newest = shaken.version == "TLS 1.3";
    let other = if is_newest { ("TLS 1.2", &[&TLS12]) } else { ("TLS 1.3", &[&TLS13]) };
    let tried = match connect(origin, question.patience).await {
        Ok((link, _)) => Some((other.0, shake(link, &offer(other.1), question.patience).await.is_ok())),
        Err(_) => None,
    };
    let mut findings = vec![tls::shaken(&shaken, tried)];
    let advice = advise(Cause::CertInvalid, &evidence(origin));
    let judged = certificate::judge(&shaken.chain, name, trust, jiff::Timestamp::now(), &advice);
    let refused = judged.iter().find(|one| one.status == Status::WouldBe).and_then(|one| one.edge_status);
    let is_judged = refused.is_some() || judged.iter().all(|one| one.status != Status::Unknown);
    findings.extend(judged);
    let modes = is_judged.then_some(Modes { full: None, full_strict: refused });
    Secured { findings, modes, asked: shaken.asked, agreed: Some(shaken.speaks_http2) }
}
