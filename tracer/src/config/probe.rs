//! `tracer probe`, checked: whom to ask for what, and how long to wait.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use tracer_common::cloudflare::{HTTPS_PORTS, IDLE_TIMEOUT};

use super::{Invalid, layers, value};
use crate::cli::ProbeArgs;

/// How long each answer is waited for, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest body that is sent slowly.
const MAX_SLOW_BODY: Duration = Duration::from_secs(300);
/// Longest name (RFC 1035 §2.3.4), in bytes.
const MAX_NAME: usize = 253;
/// Longest Host: a name, a colon and a port.
const MAX_HOST: usize = MAX_NAME + 6;
/// Longest target in a request: the edge takes URLs of 16 KB.
const MAX_TARGET: usize = 16_384;

/// Whom to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Address, or a name to look up.
    pub server: String,
    pub port: u16,
    pub tls: bool,
    /// The Host field.
    pub host: String,
    /// The name in the ClientHello and in the certificate; an address where no name is known.
    pub name: String,
    /// Path and query.
    pub target: String,
}

/// `tracer probe`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    pub asked: Asked,
    /// Whether the zone's mode is Full, which takes any certificate.
    pub full: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
    pub keep_alive: Option<Duration>,
    pub large_head: bool,
    pub expect_continue: bool,
    pub slow_body: Option<Duration>,
    pub json: bool,
}

impl ProbeArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be.
    pub fn check(&self) -> Result<ProbeConfig, Invalid> {
        let seconds = |key: &str, typed: &Option<String>, most| {
            typed.as_deref().map(|text| seconds(text, most)).transpose().map_err(|why| at(key, &why))
        };
        Ok(ProbeConfig {
            asked: self.asked()?,
            full: self.full,
            ca_file: self.ca_file.clone(),
            timeout: layers::flag("timeout", self.timeout.as_deref(), value::duration)?.unwrap_or(TIMEOUT),
            keep_alive: seconds("keep-alive", &self.keep_alive, IDLE_TIMEOUT)?,
            large_head: self.large_head,
            expect_continue: self.expect_continue,
            slow_body: seconds("slow-body", &self.slow_body, MAX_SLOW_BODY)?,
            json: self.json,
        })
    }

    fn asked(&self) -> Result<Asked, Invalid> {
        let typed_port = layers::flag("port", self.port.as_deref(), value::port)?;
        let mut asked = match self.target.parse::<IpAddr>() {
            Ok(address) => of_address(address, typed_port),
            Err(_) => of_url(&self.target, typed_port).map_err(|why| Invalid::new(format!("the target {why}")))?,
        };
        if let Some(host) = &self.host {
            host.clone_into(&mut asked.host);
            without_port(host).clone_into(&mut asked.name);
            if !is_host(host) {
                return Err(at("host", &format!("{host:?} is not a host (write www.example.com)")));
            }
        }
        if let Some(name) = &self.sni {
            if !is_name(name) {
                return Err(at("sni", &format!("{name:?} is not a name (write www.example.com)")));
            }
            name.clone_into(&mut asked.name);
        }
        Ok(asked)
    }
}

fn at(key: &str, why: &str) -> Invalid {
    Invalid::new(format!("--{key}: {why}"))
}

fn of_address(address: IpAddr, port: Option<u16>) -> Asked {
    let port = port.unwrap_or(443);
    let tls = HTTPS_PORTS.contains(&port);
    let server = address.to_string();
    let bare = if address.is_ipv6() { format!("[{server}]") } else { server.clone() };
    Asked { host: with_port(&bare, port, tls), name: server.clone(), server, port, tls, target: "/".to_owned() }
}

/// What is wrong names no part of the URL behind its host: a query may hold secrets.
fn of_url(text: &str, port: Option<u16>) -> Result<Asked, String> {
    let form = "(write https://www.example.com/ or 203.0.113.5)";
    let uri: Uri = text.parse().map_err(|error| format!("is neither an address nor a URL: {error} {form}"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("is neither an address nor an http:// or https:// URL {form}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("names no host {form}"))?;
    if authority.as_str().contains('@') {
        return Err("has a user or a password in it, which Cloudflare never sends: leave them out".to_owned());
    }
    let bare = authority.host();
    let server = bare.trim_start_matches('[').trim_end_matches(']').to_owned();
    if server.parse::<IpAddr>().is_err() && !is_name(&server) {
        return Err(format!("has no name or address for a host {form}"));
    }
    let written = match (authority.as_str().trim_start_matches(bare), authority.port_u16()) {
        ("" | ":", _) => None,
        (_, Some(port)) if port != 0 => Some(port),
        _ => return Err("has a port that is none (write a number from 1 to 65535)".to_owned()),
    };
    let port = port.or(written).unwrap_or(if tls { 443 } else { 80 });
    let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if target.len() > MAX_TARGET {
        return Err(format!("is longer than {MAX_TARGET} bytes, which Cloudflare refuses"));
    }
    Ok(Asked { host: with_port(bare, port, tls), name: server.clone(), server, port, tls, target })
}

/// As browsers write it: without the scheme's own port.
fn with_port(host: &str, port: u16, tls: bool) -> String {
    if port == if tls { 443 } else { 80 } { host.to_owned() } else { format!("{host}:{port}") }
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(known)
}

fn is_host(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    text.len() <= MAX_HOST && text.bytes().all(known) && !without_port(text).is_empty()
}

fn seconds(text: &str, most: Duration) -> Result<Duration, String> {
    let most = most.as_secs();
    let number = text.parse().ok().filter(|seconds| (1..=most).contains(seconds));
    number.map(Duration::from_secs).ok_or_else(|| format!("{text:?} is not a number of seconds from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn check(line: &str) -> Result<ProbeConfig, String> {
        let words = ["tracer", "probe"].into_iter().chain(line.split_whitespace());
        let Command::Probe(args) = Cli::try_parse_from(words).map_err(|error| error.to_string())?.command else {
            panic!("not probe")
        };
        args.check().map_err(|error| error.to_string())
    }

    #[track_caller]
    fn asks(line: &str, server: &str, port: u16, tls: bool, host: &str, name: &str, target: &str) {
        let [server, host, name, target] = [server, host, name, target].map(str::to_owned);
        assert_eq!(check(line).unwrap().asked, Asked { server, port, tls, host, name, target }, "{line}");
    }

    #[test]
    fn an_address_is_asked_over_https_where_the_edge_would() {
        asks("192.0.2.1", "192.0.2.1", 443, true, "192.0.2.1", "192.0.2.1", "/");
        asks("192.0.2.1 --port 80", "192.0.2.1", 80, false, "192.0.2.1", "192.0.2.1", "/");
        asks("192.0.2.1 --port 8443", "192.0.2.1", 8443, true, "192.0.2.1:8443", "192.0.2.1", "/");
        asks("2001:db8::1", "2001:db8::1", 443, true, "[2001:db8::1]", "2001:db8::1", "/");
    }

    #[test]
    fn a_url_says_it_all_and_options_beat_it() {
        asks("https://a.example/x?y=1", "a.example", 443, true, "a.example", "a.example", "/x?y=1");
        asks("http://a.example:8080", "a.example", 8080, false, "a.example:8080", "a.example", "/");
        asks("https://[::1]:444/", "::1", 444, true, "[::1]:444", "::1", "/");
        asks("https://a.example --port 8443", "a.example", 8443, true, "a.example:8443", "a.example", "/");
        asks("https://192.0.2.1/x --host b.example", "192.0.2.1", 443, true, "b.example", "b.example", "/x");
        asks("192.0.2.1 --host b.example:8443", "192.0.2.1", 443, true, "b.example:8443", "b.example", "/");
        asks("192.0.2.1 --host b.example --sni c.example", "192.0.2.1", 443, true, "b.example", "c.example", "/");
    }

    #[test]
    fn what_cannot_be_is_refused_and_no_query_is_repeated() {
        for (line, why) in [
            ("a.example", "neither an address nor an http:// or https:// URL"),
            ("ftp://a.example/", "neither an address nor an http:// or https:// URL"),
            ("https://u:secret@a.example/", "a user or a password"),
            ("https://a.example:0/", "a port that is none"),
            ("https://a.example:99999/", "a port that is none"),
            ("https://a%00b/", "write"),
            ("https://a.example/?secret=\u{7f}", "write"),
            ("/x", "neither an address nor an http:// or https:// URL"),
            ("192.0.2.1 --host a/b", "--host: \"a/b\" is not a host"),
            ("192.0.2.1 --host :80", "--host: \":80\" is not a host"),
            ("192.0.2.1 --sni a:1", "--sni: \"a:1\" is not a name"),
            ("192.0.2.1 --port 0", "--port: \"0\" is not a port"),
            ("192.0.2.1 --keep-alive 901", "--keep-alive: \"901\" is not a number of seconds from 1 to 900"),
            ("192.0.2.1 --slow-body 0", "--slow-body: \"0\" is not a number of seconds from 1 to 300"),
            ("192.0.2.1 --timeout soon", "--timeout: \"soon\" is not a duration"),
        ] {
            let error = check(line).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{line}: {error}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_TARGET));
        assert!(check(&long).unwrap_err().contains("longer than 16384 bytes"));
    }
}
