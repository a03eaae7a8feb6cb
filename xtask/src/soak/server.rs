//! The servers of the soak as the edge and tracer know them.

use serde_json::Value;

use super::kinds::{KINDS, KINDS_OF_CADDY, Kind, SMALL};

/// A server: where it listens, what its processes are called, what it is asked.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// Names that tracer may give the process that owns its connections.
    pub(super) processes: &'static [&'static str],
    /// Sound requests.
    pub(super) kinds: &'static [Kind],
    /// Keeps connections alive.
    pub(super) keeps: bool,
    /// Speaks TLS.
    pub(super) tls: bool,
}

/// Unusual ports, so that other tests on this host don't count.
const fn port(offset: u16) -> u16 {
    24_080 + offset
}

pub(super) const NGINX: Server =
    Server { name: "nginx", port: port(0), processes: &["nginx"], kinds: &KINDS, keeps: true, tls: false };
/// The same nginx where it keeps idle connections for a second.
pub(super) const NGINX_IDLE: Server = Server { port: port(1), kinds: &SMALL, ..NGINX };
pub(super) const PHP: Server = Server { name: "php-fpm", port: port(2), ..NGINX };
pub(super) const APACHE: Server =
    Server { name: "apache", port: port(3), processes: &["apache2"], kinds: &KINDS, keeps: true, tls: false };
/// The same Apache where it keeps idle connections for a second.
pub(super) const APACHE_IDLE: Server = Server { port: port(4), kinds: &SMALL, ..APACHE };
pub(super) const HAPROXY: Server =
    Server { name: "haproxy", port: port(5), processes: &["haproxy"], kinds: &KINDS, keeps: true, tls: false };
/// The same HAProxy where it rejects connections.
pub(super) const HAPROXY_REJECT: Server = Server { port: port(6), ..HAPROXY };
pub(super) const CADDY: Server =
    Server { name: "caddy", port: port(7), processes: &["caddy"], kinds: KINDS_OF_CADDY, keeps: true, tls: false };
pub(super) const NODE: Server =
    Server { name: "node", port: port(8), processes: &["node", "MainThread"], kinds: &KINDS, keeps: true, tls: false };
/// Node's cluster, whose workers end.
pub(super) const NODE_CLUSTER: Server = Server { port: port(9), ..NODE };
/// A Node server that closes what it accepts.
pub(super) const NODE_CLOSER: Server = Server { port: port(10), ..NODE };
pub(super) const GUNICORN: Server =
    Server { name: "gunicorn", port: port(11), processes: &["gunicorn"], kinds: &KINDS, keeps: false, tls: false };
/// Where nobody listens.
pub(super) const NOBODY: Server =
    Server { name: "nobody", port: port(12), processes: &[], kinds: &SMALL, keeps: false, tls: false };

/// The same servers inside TLS.
pub(super) const NGINX_TLS: Server = Server { port: port(30), tls: true, ..NGINX };
pub(super) const NGINX_IDLE_TLS: Server = Server { port: port(31), tls: true, ..NGINX_IDLE };
pub(super) const PHP_TLS: Server = Server { port: port(32), tls: true, ..PHP };
pub(super) const APACHE_TLS: Server = Server { port: port(33), tls: true, ..APACHE };
pub(super) const HAPROXY_TLS: Server = Server { port: port(34), tls: true, ..HAPROXY };
pub(super) const CADDY_TLS: Server = Server { port: port(35), tls: true, ..CADDY };
pub(super) const NODE_TLS: Server = Server { port: port(36), tls: true, ..NODE };
pub(super) const GUNICORN_TLS: Server = Server { port: port(37), tls: true, ..GUNICORN };

/// Servers that sound traffic visits all the time.
pub(super) const VISITED: [&Server; 14] = [
    &NGINX,
    &PHP,
    &APACHE,
    &HAPROXY,
    &CADDY,
    &NODE,
    &GUNICORN,
    &NGINX_TLS,
    &PHP_TLS,
    &APACHE_TLS,
    &HAPROXY_TLS,
    &CADDY_TLS,
    &NODE_TLS,
    &GUNICORN_TLS,
];
/// Every port that somebody listens on for the edge.
pub(super) const LISTENING: [&Server; 20] = [
    &NGINX,
    &NGINX_IDLE,
    &PHP,
    &APACHE,
    &APACHE_IDLE,
    &HAPROXY,
    &HAPROXY_REJECT,
    &CADDY,
    &NODE,
    &NODE_CLUSTER,
    &NODE_CLOSER,
    &GUNICORN,
    &NGINX_TLS,
    &NGINX_IDLE_TLS,
    &PHP_TLS,
    &APACHE_TLS,
    &HAPROXY_TLS,
    &CADDY_TLS,
    &NODE_TLS,
    &GUNICORN_TLS,
];
/// Loopback ports of the upstreams: one that works, and one that breaks HTTP.
pub(super) const UPSTREAM: u16 = port(20);
pub(super) const RAW_UPSTREAM: u16 = port(21);

/// The name of the server that the event is about; `?`: none of these.
pub(super) fn name_in(event: &Value) -> &'static str {
    let servers = LISTENING.iter().chain([&&NOBODY]);
    servers.into_iter().find(|server| event["local_port"] == server.port).map_or("?", |server| server.name)
}
