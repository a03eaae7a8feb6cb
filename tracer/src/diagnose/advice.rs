//! What to look at or change first: one or two sentences, with the measured value where there is one.

use std::time::Duration;

use super::{
    Attempt, Cause, Descriptors, End, Evidence, FullDisk, Halt, Halted, Lack, OomScope, Process, Sender, Taken,
    Trigger,
    context::{full_disk, halted, is_unaccepted},
    handshake::left_by_origin,
    loss::Loss,
    settings,
    signal::{self, SIGTERM},
    units::span,
};
use tracer_common::cloudflare::IDLE_TIMEOUT;

use crate::{
    http::Fault,
    tls::{Answer, Handshake},
};

/// A close sooner than this after a response is no idle timeout.
const RIGHT_AFTER: Duration = Duration::from_millis(100);

/// Where the last bytes of a request are younger than this, more of them were on their way.
const STILL_COMING: Duration = Duration::from_millis(100);

/// Fewer bytes than this fit into the smallest packet that every path carries.
const SMALL: u64 = 536;

/// The advice for a verdict.
pub(super) fn advice(cause: Cause, e: &Evidence, loss: Loss) -> String {
    let who = e.process.as_ref().map_or("the process", |process| process.name.as_str());
    if let Some(halted) = halted(e, loss) {
        return let_run(halted, who);
    }
    let usual = usual(cause, e, who);
    match full_disk(e, loss).filter(|_| !is_by_others(cause)) {
        Some(disk) => make_room(disk, &usual),
        None => usual,
    }
}

/// Whether the process was ended, so that it did not fail in writing.
fn is_by_others(cause: Cause) -> bool {
    matches!(cause, Cause::OomKill | Cause::SupervisorKill | Cause::ProcessKilled | Cause::Crash)
}

/// A file system is full that the process writes to.
fn make_room(FullDisk { mount, lack, .. }: &FullDisk, usual: &str) -> String {
    let how = match lack {
        Lack::Space { .. } => format!("old logs, caches, temporary files: `du -xh {mount} | sort -h`"),
        Lack::Inodes(_) => format!("many small files, such as sessions and caches: `df -i {mount}`"),
    };
    format!(
        "{mount} is full: make room there first ({how}), since a server that can't buffer a request or a response \
         breaks off. If it goes on, {usual}"
    )
}

/// The advice for a cause.
fn usual(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::OomKill => oom(e, who),
        Cause::SupervisorKill => supervisor(e, who),
        Cause::ProcessKilled => killed(e, who),
        Cause::Crash | Cause::ProcessExit => ended(cause, e, who),
        Cause::KeepaliveRace => keepalive(e),
        Cause::ListenerClosed | Cause::PortClosed | Cause::ListenOverflow => listener(cause, e, who),
        Cause::ClosedBeforeRequest | Cause::ClosedUnread | Cause::AppReset | Cause::EmptyReply => {
            unanswered(cause, e, who)
        }
        Cause::RequestCut => request_cut(e, who),
        Cause::TruncatedHeaders | Cause::TruncatedBody | Cause::ResetMidResponse | Cause::SilentDrop => cut(cause, who),
        Cause::MalformedResponse | Cause::HeadersTooLarge => unreadable(cause, e, who),
        Cause::ResponseTimeout | Cause::ResponseStalled | Cause::RequestStalled => slow(cause, e, who),
        Cause::FirewallDrop | Cause::FirewallReject => firewall(e),
        Cause::ReplyLost => lost_on_the_way(e),
        Cause::TlsToPlainPort | Cause::TlsClientCertRequired | Cause::CertInvalid | Cause::TlsHandshakeFailed => {
            tls(cause, e, who)
        }
        Cause::Unexplained => {
            "the evidence is incomplete: see tracer_events_lost_total and `tracer doctor`.".to_owned()
        }
    }
}

/// The process does not run.
fn let_run(Halted { pid, halt, .. }: Halted, who: &str) -> String {
    match halt {
        Halt::Stopped => format!(
            "{who} is stopped: find out who sent it SIGSTOP (a shell's Ctrl-Z, a backup, a snapshot), and let it go on \
             with `kill -CONT {pid}`."
        ),
        Halt::Traced => format!(
            "a debugger holds {who}: let go of it (`grep TracerPid /proc/{pid}/status` says which process it is)."
        ),
        Halt::Frozen => format!(
            "the control group of {who} is frozen: thaw it (`docker unpause`, `systemctl thaw`, 0 into its \
             cgroup.freeze), and find out who froze it."
        ),
        Halt::Uninterruptible => format!(
            "{who} waits in the kernel, mostly for a disk, a network file system or memory that is swapped: look at \
             /proc/{pid}/stack, at `dmesg`, and at what these answer with."
        ),
    }
}

/// The process ended by itself.
fn ended(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::ProcessExit {
        return format!(
            "{who} exited with a request in hand: look at its log for an uncaught exception, a fatal error or a call \
             of exit in a handler."
        );
    }
    let number = match e.end {
        End::Signaled(number) => signal::name(number),
        _ => "a fault".to_owned(),
    };
    format!(
        "{who} died of {number}: look at its core dump (coredumpctl) and its last log lines; the request above is what \
         it was working on."
    )
}

/// An idle connection was closed just as the next request came.
fn keepalive(e: &Evidence) -> String {
    let kept_s = IDLE_TIMEOUT.as_secs();
    match e.idle {
        Some(idle) if idle < RIGHT_AFTER => format!(
            "the origin closed {} after its last response: let it keep the connection (Cloudflare reuses idle ones for \
             up to {kept_s} s), or announce the close in the response (`Connection: close`).",
            span(idle)
        ),
        Some(idle) => format!(
            "the origin closed after {} idle; Cloudflare keeps connections up to {kept_s} s: raise the server's \
             keep-alive timeout above that.",
            span(idle)
        ),
        None => format!(
            "Cloudflare keeps idle connections up to {kept_s} s: raise the server's keep-alive timeout above that."
        ),
    }
}

/// Nobody listens, or nobody accepts.
fn listener(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::ListenOverflow
        && !is_syn_queue(e)
        && let Some(advice) = out_of_descriptors(e, who)
    {
        return advice;
    }
    match cause {
        Cause::ListenerClosed => format!(
            "{who} closed its listening socket with connections still in the accept queue: drain before stopping, or \
             hand the listener over (socket activation, a reload that keeps it)."
        ),
        Cause::ListenOverflow if is_syn_queue(e) => {
            "turn SYN cookies on (net.ipv4.tcp_syncookies=1): then a full SYN queue turns nobody away. Else raise \
             net.ipv4.tcp_max_syn_backlog and the backlog of listen() (net.core.somaxconn), and look in `ss -tn state \
             syn-recv` for who fills the queue."
                .to_owned()
        }
        Cause::PortClosed => format!(
            "nothing listens on port {}: start the server, or correct its listen address, or the port that Cloudflare \
             is told to use.",
            e.local.1
        ),
        _ => format!(
            "{who} accepts too slowly, or its queue is too short: raise the backlog of listen() and \
             net.core.somaxconn, and look for what keeps it from accepting."
        ),
    }
}

/// Which of the two queues was full.
const fn is_syn_queue(e: &Evidence) -> bool {
    matches!(e.trigger, Trigger::Attempt(Attempt { taken: Taken::SynQueue { .. }, .. }))
}

/// The process closed or reset the connection, and no byte of a response was written.
fn unanswered(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause != Cause::ClosedBeforeRequest
        && !e.destroyed
        && e.bytes_received > 0
        && let Some(timeout) = settings::round(e.waited)
    {
        return format!(
            "{who} closed the connection {} after the request had come: that looks like a timeout of its own of {} s \
             ({}); find what the request waits for, raise the timeout, or answer with a status (503, 504) before it.",
            span(e.waited),
            timeout.as_secs(),
            settings::timeouts(e.process.as_ref())
        );
    }
    let (head_limit, setting) = settings::head_limit(e.process.as_ref());
    if let Some(bytes) = e.request_head.filter(|bytes| *bytes > head_limit && cause != Cause::ClosedBeforeRequest) {
        return format!(
            "{who} closed on a request with {bytes} bytes of header fields, and may take {head_limit} only: look for \
             growing cookies or a long path, or raise the limit ({setting})."
        );
    }
    match cause {
        Cause::ClosedBeforeRequest => format!(
            "{who} closes connections as soon as it has accepted them: look for a connection limit, an access rule at \
             connection level, or a PROXY protocol setting."
        ),
        Cause::ClosedUnread => format!(
            "{who} closed with {} request bytes unread: look for a body-size or time limit, an early rejection, or an \
             overload guard; answer with a status (413, 429, 503) and read the rest.",
            e.unread
        ),
        Cause::AppReset if e.destroyed => {
            "somebody destroyed the socket with a tool (ss -K): find out who, and why.".to_owned()
        }
        Cause::AppReset => format!(
            "{who} aborts connections on purpose (SO_LINGER 0): look for a reject or deny rule, `return 444` with \
             reset_timedout_connection, or a resetAndDestroy in the application."
        ),
        _ => format!(
            "{who} hung up without an answer: look for `return 444`, a reject rule, a bot or rate limit, or a handler \
             that closes the connection; its own log may not show the request."
        ),
    }
}

/// The process hung up in the middle of a request.
fn request_cut(e: &Evidence, who: &str) -> String {
    if e.waited < STILL_COMING {
        return format!(
            "{who} hung up while the request was still coming: look for a limit on its size or its rate, or a handler \
             that gives up on it; answer with a status (413, 408, 429) and read the rest."
        );
    }
    format!(
        "{who} waited {} for the rest of the request and hung up: that looks like its own limit on the time for a \
         request ({}). Slow visitors are a reason, too, since Cloudflare passes an upload on as it comes: raise the \
         limit, or have it answer with 408.",
        span(e.waited),
        settings::request_timeouts(e.process.as_ref())
    )
}

/// The response, or the connection, ended too early.
fn cut(cause: Cause, who: &str) -> String {
    match cause {
        Cause::ResetMidResponse => format!(
            "{who} reset the connection within its response: look for an abort in the handler, a send timeout (nginx \
             reset_timedout_connection), or unread request bytes at its close."
        ),
        Cause::SilentDrop => format!(
            "{who} let the connection vanish (haproxy `silent-drop`): use a deny that answers for requests that come \
             through Cloudflare."
        ),
        _ => format!(
            "{who} closed before its response was whole: look for a handler that gives up, an upstream that was cut \
             (the proxy's error log), or a Content-Length that is too large."
        ),
    }
}

/// The edge can't take what it got.
fn unreadable(cause: Cause, e: &Evidence, who: &str) -> String {
    if cause == Cause::HeadersTooLarge {
        return format!(
            "{who} sent {} bytes of header fields, and Cloudflare takes {}: look for growing cookies, a debug header, \
             or a long Content-Security-Policy.",
            e.response.header_bytes.unwrap_or(0),
            e.limits.header
        );
    }
    if e.response.fault == Some(Fault::ChunkSize) {
        return format!(
            "{who} wrote into a chunked body what is no chunk: look for an error page that is sent after the response \
             has begun (an exception while it streams), or for code that writes to the socket beside the server."
        );
    }
    format!(
        "{who} sent what is no HTTP response: look for output before the header section (PHP warnings, a debug print), \
         an upstream that speaks another protocol, or a field without a colon."
    )
}

/// The process took longer than the edge waits.
fn slow(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::ResponseTimeout | Cause::RequestStalled if is_unaccepted(e) => unaccepted(e, who),
        Cause::ResponseTimeout => format!(
            "{who} gave no answer in {}: find what the request waits for (database, upstream, lock), answer earlier, \
             or move long work into the background.",
            span(e.waited)
        ),
        Cause::ResponseStalled => format!(
            "{who} stopped sending {} ago: find what the handler or its upstream waits for; send something at least \
             every {}.",
            span(e.quiet),
            span(e.limits.read)
        ),
        _ => format!(
            "{who} stopped reading the request with {} bytes waiting: read uploads as they come, or refuse them with a \
             status (413, 429, 503).",
            e.unread
        ),
    }
}

/// Nobody took the connection out of its accept queue.
fn unaccepted(e: &Evidence, who: &str) -> String {
    let waited = span(e.waited);
    out_of_descriptors(e, who).unwrap_or_else(|| format!(
        "{who} accepted no connection for {waited}: all its workers are busy, or each holds an idle connection. Run \
         more workers or threads, shorten keep-alive where a worker can hold one connection only, and find what the \
         workers wait for; a longer backlog alone makes the edge wait longer."
    ))
}

/// A process without a descriptor left accepts nothing.
fn out_of_descriptors(e: &Evidence, who: &str) -> Option<String> {
    let Descriptors { open, limit } = e.around.descriptors.filter(|descriptors| descriptors.are_few())?;
    Some(format!(
        "{who} has {open} of at most {limit} descriptors open, and without one it accepts nothing: raise the limit \
         (LimitNOFILE of the unit, nginx worker_rlimit_nofile), or find what leaks them."
    ))
}

/// The TLS handshake came to nothing.
fn tls(cause: Cause, e: &Evidence, who: &str) -> String {
    match cause {
        Cause::TlsHandshakeFailed if is_unaccepted(e) => unaccepted(e, who),
        Cause::TlsHandshakeFailed
            if left_by_origin(e) && e.handshake.as_ref().is_some_and(|h| h.hello_cut.is_some()) =>
        {
            format!(
                "{who} closed before the whole ClientHello had come: what looks into it wants it in one piece. Hellos \
                 with a post-quantum key share are longer than a packet: wait for the rest (HAProxy: `tcp-request \
                 inspect-delay 5s` before rules on req.ssl_…; else a router by server name or a middlebox)."
            )
        }
        Cause::TlsHandshakeFailed if !left_by_origin(e) && e.handshake.as_ref().is_some_and(is_frozen) => format!(
            "{who} began the TLS handshake and did nothing more for {}: look for what keeps it from running (a process \
             that is stopped, a lock, memory that is swapped, a key in a slow module).",
            span(e.waited)
        ),
        Cause::TlsToPlainPort => format!(
            "port {} speaks plain HTTP: turn TLS on there (`listen 443 ssl`), or set Cloudflare's encryption mode to \
             what this origin offers.",
            e.local.1
        ),
        Cause::TlsClientCertRequired => format!(
            "{who} demands a client certificate: turn on Authenticated Origin Pulls in Cloudflare, or make the \
             certificate optional here."
        ),
        Cause::CertInvalid => format!(
            "the edge does not accept the certificate of {who}: renew it, or install one that covers the name and that \
             Cloudflare trusts (an Origin CA certificate will do)."
        ),
        _ => format!(
            "{who} does not complete the TLS handshake: compare its versions, ciphers and server names with what the \
             edge offers; Cloudflare needs TLS 1.2 or later for most settings."
        ),
    }
}

/// The origin has begun, and nobody has refused the other.
fn is_frozen(h: &Handshake) -> bool {
    h.answer == Answer::Tls && h.origin_alert.is_none() && h.edge_alert.is_none()
}

/// A rule of the host's firewall, or its full table, takes the packets.
fn firewall(e: &Evidence) -> String {
    let Trigger::Attempt(attempt) = e.trigger else { return String::new() };
    if attempt.table_full {
        return "the table of tracked connections is full: raise net.netfilter.nf_conntrack_max, or find who fills it."
            .to_owned();
    }
    format!(
        "a rule of this host's firewall takes packets of {}: look for it with `nft list ruleset` or `iptables-save` \
         (fail2ban, CSF, a rate limit), and let Cloudflare's ranges pass.",
        e.peer.0
    )
}

/// What this host sent did not arrive. Where all of it fits into a small packet, its size is not to blame.
fn lost_on_the_way(e: &Evidence) -> String {
    let peer = e.peer.0;
    if u64::from(e.unacked) + e.acked < SMALL {
        return format!(
            "what this host sends does not reach {peer}: look at the way back (`ip route get {peer}`, `ip rule`: a \
             wrong gateway, the wrong one of two uplinks, a tunnel or bridge that is gone) and for a firewall or NAT \
             on it that has never seen the connection."
        );
    }
    format!(
        "large packets to {peer} get lost, which small ones may not: look for a smaller MTU on the way back (`ping -M \
         do -s 1472 {peer}`; tunnels such as WireGuard, VXLAN, GRE, PPPoE) and for ICMP that a firewall drops. Set \
         that MTU on the route, clamp the MSS (`iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS \
         --clamp-mss-to-pmtu`), or set net.ipv4.tcp_mtu_probing=1. If small ones get lost, too, look at the route \
         (`ip route get {peer}`)."
    )
}

fn oom(e: &Evidence, who: &str) -> String {
    let group = e.process.as_ref().and_then(unit_or_container);
    match (e.oom_scope, group) {
        (Some(OomScope::Memcg), Some(group)) => {
            format!(
                "{who} reached the memory limit of {group}: raise that limit, or lower what {who} uses (workers, \
                 caches, per-request memory)."
            )
        }
        (Some(OomScope::Global), _) => {
            format!(
                "the host ran out of memory and {who} was chosen: find what uses it (ps --sort=-rss), add memory or \
                 limit the largest consumer."
            )
        }
        _ => format!(
            "{who} ran out of memory: raise its memory limit, or lower what it uses (workers, caches, per-request \
             memory)."
        ),
    }
}

fn unit_or_container(process: &Process) -> Option<&str> {
    process.container.as_deref().or(process.unit.as_deref())
}

fn supervisor(e: &Evidence, who: &str) -> String {
    let master = match e.signal.as_ref().map(|signal| &signal.sender) {
        Some(Sender::Master { pid, name }) => format!("{name}[{pid}]"),
        _ => "its master".to_owned(),
    };
    let age = if e.bytes_received > 0 {
        format!(" {} after the last byte of the request", span(e.waited))
    } else {
        String::new()
    };
    format!(
        "{master} ended its worker {who}{age}: a worker timeout (gunicorn `--timeout`, uWSGI `harakiri`, php-fpm \
         `request_terminate_timeout`, Unicorn `timeout`); find out what the request waits for, or raise the limit."
    )
}

fn killed(e: &Evidence, who: &str) -> String {
    let sender = match e.signal.as_ref().map(|signal| &signal.sender) {
        Some(Sender::Other { pid, name }) => format!("{name}[{pid}]"),
        Some(Sender::OrderedMaster { by, .. } | Sender::MasterTold { by, .. }) => by.clone(),
        _ => "somebody".to_owned(),
    };
    let graceful = match e.end {
        End::Signaled(number) if number != SIGTERM => {
            "stop it gracefully instead (nginx -s quit, SIGTERM and time to drain)"
        }
        _ => "let it drain before it stops (nginx -s quit, graceful timeout, a deploy that waits)",
    };
    format!("{sender} ended {who} with requests in hand: {graceful}.")
}
