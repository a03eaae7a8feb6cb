//! Where a server passes requests on, as its configuration says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::idle::Value;

/// Places that are taken from one server's configuration.
pub(in super::super) const TARGETS: usize = 200;

/// An address of an application's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum At {
    Tcp(IpAddr, u16),
    /// The path of a unix socket.
    Unix(String),
}

impl At {
    /// `HOST:PORT`, `HOST` with this default port, or `unix:PATH`. `None`: a name that only a resolver knows, or a
    /// variable.
    pub(in super::super) fn read(text: &str, default_port: Option<u16>) -> Option<Self> {
        if text.contains(['$', '%']) {
            return None;
        }
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("unix@")) {
            return path.starts_with('/').then(|| Self::Unix(path.to_owned()));
        }
        let host = |name: &str| match name.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            name => name.parse().ok(),
        };
        match text.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => Some(Self::Tcp(host(name)?, port.parse().ok()?)),
            _ => Some(Self::Tcp(host(text)?, default_port?)),
        }
    }

    /// The same of a URL: `http://HOST:PORT/PATH`, `fcgi://…`, `http://unix:PATH:/URI`.
    pub(in super::super) fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let port = match scheme {
            "http" | "h2c" | "ws" => Some(80),
            "https" | "h2" | "wss" => Some(443),
            _ => None,
        };
        if let Some(path) = rest.strip_prefix("unix:") {
            return Self::read(&format!("unix:{}", path.split(':').next()?), None);
        }
        Self::read(rest.split('/').next()?, port)
    }

    /// Whether it is on this host for sure.
    pub(in super::super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr, _) => addr.to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(addr, port) => write!(f, "{}", std::net::SocketAddr::new(*addr, *port)),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// One place in a server's configuration that passes requests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Target {
    pub(in super::super) at: At,
    /// The directive, and its file and line.
    pub(in super::super) setting: String,
    pub(in super::super) place: String,
    /// The setting for how long it waits for bytes of an answer, and its value. `None`: for ever.
    pub(in super::super) wait: &'static str,
    pub(in super::super) timeout: Option<Value<Duration>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_names_are_not_made_up() {
        let read = |text| At::read(text, Some(80)).map(|at| at.to_string());
        for (text, at) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("localhost:3000", "127.0.0.1:3000"),
            ("[::1]:3000", "[::1]:3000"),
            ("[::1]", "[::1]:80"),
            ("10.0.0.7", "10.0.0.7:80"),
            ("unix:/run/php/php8.2-fpm.sock", "unix:/run/php/php8.2-fpm.sock"),
            ("unix@/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(read(text).as_deref(), Some(at), "{text}");
        }
        for text in
            ["app", "app:3000", "$backend", "unix:rel.sock", "127.0.0.1:x", "127.0.0.1:70000", "", ":", "[", "]:"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(At::read("127.0.0.1", None), None);
    }

    #[test]
    fn urls_have_the_port_of_their_scheme() {
        let read = |text| At::of_url(text).map(|at| at.to_string());
        assert_eq!(read("http://127.0.0.1/x"), Some("127.0.0.1:80".to_owned()));
        assert_eq!(read("https://[::1]/x"), Some("[::1]:443".to_owned()));
        assert_eq!(read("fcgi://127.0.0.1:9000/a"), Some("127.0.0.1:9000".to_owned()));
        assert_eq!(read("http://unix:/run/a.sock:/b:c"), Some("unix:/run/a.sock".to_owned()));
        assert_eq!(read("http://unix:/run/a.sock"), Some("unix:/run/a.sock".to_owned()));
        for url in ["fcgi://127.0.0.1", "http://app/", "127.0.0.1:1", "http://", "://", ""] {
            assert_eq!(read(url), None, "{url}");
        }
    }
}
