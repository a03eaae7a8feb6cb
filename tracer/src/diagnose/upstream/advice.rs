//! What to look at or change first, by the pair of servers: the one in front and the one behind it.

use super::{
    super::{
        End, OomScope, Process, Sender,
        origin::OriginCause,
        units::{named, span},
    },
    seen::{Address, Upstream},
};

/// A kind of server, by the beginning of its name or of its executable's.
struct Kind {
    names: &'static [&'static str],
    /// Ends a request that takes too long, of a server behind.
    worker_timeout: &'static str,
    /// Number of requests that are served at once, and of those that wait.
    capacity: &'static str,
    /// Of a gateway: how long it waits for an upstream, and how large an upstream's header section may be.
    wait: &'static str,
    buffer: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        names: &["nginx", "openresty", "angie"],
        worker_timeout: "`send_timeout`",
        capacity: "`worker_connections` and the `backlog` of `listen`",
        wait: "`proxy_read_timeout` (`fastcgi_read_timeout`, `uwsgi_read_timeout`)",
        buffer: "`proxy_buffer_size` (`fastcgi_buffer_size` and `fastcgi_buffers`, `uwsgi_buffer_size`)",
    },
    Kind {
        names: &["apache2", "httpd"],
        worker_timeout: "`Timeout`",
        capacity: "`MaxRequestWorkers` and `ListenBacklog`",
        wait: "`ProxyTimeout`, or `timeout=` of its ProxyPass",
        buffer: "`ProxyIOBufferSize` and `LimitRequestFieldSize`",
    },
    Kind {
        names: &["haproxy"],
        worker_timeout: "`timeout server`",
        capacity: "`maxconn`",
        wait: "`timeout server`",
        buffer: "`tune.bufsize` and `tune.maxrewrite`",
    },
    Kind {
        names: &["caddy"],
        worker_timeout: "`write_timeout`",
        capacity: "the limits of its host",
        wait: "`response_header_timeout` of the transport",
        buffer: "`max_response_header` of the transport",
    },
    Kind {
        names: &["php-fpm"],
        worker_timeout: "`request_terminate_timeout`",
        capacity: "`pm.max_children` and `listen.backlog`",
        wait: "`default_socket_timeout`",
        buffer: "`output_buffering`",
    },
    Kind {
        names: &["gunicorn"],
        worker_timeout: "`--timeout`",
        capacity: "`--workers`, `--threads` and `--backlog`",
        wait: "the timeout of its client library",
        buffer: "the limits of its client library",
    },
    Kind {
        names: &["uwsgi"],
        worker_timeout: "`harakiri`",
        capacity: "`processes`, `threads` and `listen`",
        wait: "`http-timeout`",
        buffer: "`buffer-size`",
    },
    Kind {
        names: &["node", "MainThread"],
        worker_timeout: "`server.requestTimeout`",
        capacity: "the number of its processes",
        wait: "the timeout of its HTTP agent",
        buffer: "`--max-http-header-size`",
    },
    Kind {
        names: &["java"],
        worker_timeout: "the connector's `connectionTimeout`",
        capacity: "`maxThreads` and `acceptCount`",
        wait: "the timeout of its HTTP client",
        buffer: "`maxHttpResponseHeaderSize`",
    },
    Kind {
        names: &["puma", "ruby", "unicorn"],
        worker_timeout: "`worker_timeout` (Puma), `timeout` (Unicorn)",
        capacity: "`workers`, `threads` and the backlog of `bind`",
        wait: "the timeout of its HTTP client",
        buffer: "the limits of its HTTP client",
    },
];

fn kind(process: Option<&Process>) -> Option<&'static Kind> {
    let process = process?;
    let executable = process.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or_default();
    let is = |name: &str| process.name.starts_with(name) || executable.starts_with(name);
    KINDS.iter().find(|kind| kind.names.iter().any(|name| is(name)))
}

/// One or two sentences for what happened between this process and an upstream of its; `status`: what it answered.
pub(in crate::diagnose) fn advice(
    process: Option<&Process>,
    status: Option<u16>,
    cause: OriginCause,
    upstream: &Upstream,
) -> String {
    let owner = process.map_or_else(|| "the server".to_owned(), |process| process.name.clone());
    let gateway = kind(process);
    let server = kind(upstream.process.as_ref());
    let who = upstream.process.as_ref().map_or_else(|| format!("the upstream at {}", upstream.address), named);
    match cause {
        OriginCause::OomKill => oom(upstream, &who),
        OriginCause::Crash => format!(
            "{who} died of a fault of its own behind {owner}: look at its core dump (coredumpctl) and its last log \
             lines; the request above is what it was working on."
        ),
        OriginCause::SupervisorKill => {
            let setting = server.map_or("its master's worker timeout", |server| server.worker_timeout);
            format!(
                "the master of {who} ended it{}: a request took longer than {setting} allows. Find out what it waits \
                 for, or raise that; {owner}'s own timeout should be the longer one.",
                after(upstream)
            )
        }
        OriginCause::ProcessKilled => killed(upstream, &who, &owner),
        OriginCause::ProcessExit => format!(
            "{who} exited with the request in hand: look at its log for an uncaught exception, a fatal error or a \
             call of exit in a handler."
        ),
        OriginCause::UpstreamRefused => refused(upstream, &owner, server),
        OriginCause::UpstreamTimeout => {
            let wait = gateway.map_or("its own timeout", |gateway| gateway.wait);
            let capacity = server.map_or("its number of workers", |server| server.capacity);
            format!(
                "{owner} gave up{}: that is {wait}. Find out what {who} was busy with; where its workers are all \
                 taken, raise {capacity}.",
                after(upstream)
            )
        }
        OriginCause::UpstreamClosed if upstream.reused => format!(
            "{who} closed a kept-alive connection just as {owner} used it again: let {owner} close idle connections \
             sooner than {who} does."
        ),
        OriginCause::UpstreamClosed | OriginCause::UpstreamReset => format!(
            "{who} lives, and hung up on {owner} after {} bytes of an answer: look at its log for a handler that \
             closes the connection, a reject rule, or a limit on requests.",
            upstream.received
        ),
        OriginCause::UpstreamInvalid => {
            let buffer = gateway.map_or("its buffer for header sections", |gateway| gateway.buffer);
            format!(
                "{owner} did not take the answer of {who} ({} bytes): its error log says why. For a header section \
                 that is too large, raise {buffer}, or send fewer and smaller fields.",
                upstream.received
            )
        }
        OriginCause::UpstreamUnreachable => format!(
            "{owner} can't reach {}: check the address, its host, the route and the firewalls between.",
            upstream.address
        ),
        OriginCause::ApplicationError => {
            let status = status.map_or_else(|| "this".to_owned(), |status| format!("status {status}"));
            format!("{who} chose {status} itself: its own log says why.")
        }
        OriginCause::Unexplained => {
            format!("look at the error logs of {owner} and of {who} at this time.")
        }
    }
}

/// ` 2.0 s after the request was sent`; empty where that is not known.
fn after(upstream: &Upstream) -> String {
    upstream.waited.map_or_else(String::new, |waited| format!(" {} after the request was sent", span(waited)))
}

fn oom(upstream: &Upstream, who: &str) -> String {
    let process = upstream.process.as_ref();
    let group = process.and_then(|process| process.container.as_deref().or(process.unit.as_deref()));
    let children = if process.is_some_and(|process| process.name.starts_with("php-fpm")) {
        " (`pm.max_children`, `memory_limit`)"
    } else {
        " (workers, caches, per-request memory)"
    };
    match (upstream.oom_scope, group) {
        (Some(OomScope::Memcg), Some(group)) => {
            format!("{who} reached the memory limit of {group}: raise that limit, or lower what it uses{children}.")
        }
        (Some(OomScope::Global), _) => format!(
            "the host ran out of memory and {who} was chosen: find what uses it (ps --sort=-rss), add memory, or limit \
             the largest consumer{children}."
        ),
        _ => format!("{who} ran out of memory: raise its memory limit, or lower what it uses{children}."),
    }
}

fn killed(upstream: &Upstream, who: &str, owner: &str) -> String {
    let sender = match upstream.signal.as_ref().map(|signal| &signal.sender) {
        Some(Sender::Other { pid, name } | Sender::Master { pid, name }) => format!("{name}[{pid}]"),
        Some(Sender::OrderedMaster { by, .. } | Sender::MasterTold { by, .. }) => by.clone(),
        _ => "somebody".to_owned(),
    };
    let gently = match upstream.end {
        End::Signaled(super::super::signal::SIGTERM) => "let it drain before it stops",
        _ => "stop it gracefully instead, with time to drain",
    };
    format!("{sender} ended {who} with the request in hand: {gently}, and take it out of {owner}'s upstreams first.")
}

fn refused(upstream: &Upstream, owner: &str, server: Option<&Kind>) -> String {
    let address = &upstream.address;
    let backlog = server.map_or("its listen backlog", |server| server.capacity);
    match address {
        Address::Tcp(_) => format!(
            "{owner} was refused at {address}: nobody listens there, or the accept queue is full. Start that server \
             (systemctl status), or correct the address; where it runs, raise {backlog}."
        ),
        Address::Unix(_) => format!("{owner} was refused at {address}: start the server there, or raise {backlog}."),
    }
}
