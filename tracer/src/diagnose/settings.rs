//! Which setting of which server may be behind what it did, by the name of its process or of its executable.

use std::time::Duration;

use super::Process;

/// Timeouts that people set, in seconds.
const ROUND_S: [u64; 10] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300];
/// The kernel tells times in ticks of at most 10 ms: so much may be missing from the time that has passed.
const EARLY: Duration = Duration::from_millis(20);
/// A server is so much late at most: this, or a thirtieth of its timeout.
const LATE: Duration = Duration::from_millis(60);

/// Where the names of a server begin so, these settings end a request that takes too long.
const TIMEOUTS: [(&[&str], &str); 18] = [
    (&["nginx", "openresty", "angie"], "nginx `send_timeout`, `client_body_timeout`"),
    (&["apache2", "httpd"], "Apache `Timeout`, `RequestReadTimeout`"),
    (&["haproxy"], "HAProxy `timeout client`, `timeout server`"),
    (&["node", "nodejs"], "Node `server.requestTimeout`, `server.setTimeout()`, `server.keepAliveTimeout`"),
    (&["gunicorn"], "gunicorn `--timeout`"),
    (&["uwsgi"], "uWSGI `harakiri`, `socket-timeout`"),
    (&["uvicorn"], "uvicorn `--timeout-keep-alive`"),
    (&["python"], "gunicorn `--timeout`, uWSGI `harakiri`, Waitress `channel_timeout`"),
    (&["php-fpm"], "php-fpm `request_terminate_timeout`"),
    (&["puma"], "Puma `worker_timeout`, `first_data_timeout`"),
    (&["unicorn"], "Unicorn `timeout`"),
    (&["ruby"], "Unicorn `timeout`, Puma `worker_timeout`, rack-timeout"),
    (&["java"], "Tomcat `connectionTimeout`, Jetty `idleTimeout`"),
    (&["dotnet"], "Kestrel `RequestHeadersTimeout`, `MinRequestBodyDataRate`"),
    (&["caddy"], "Caddy `servers { timeouts }`"),
    (&["traefik"], "Traefik `respondingTimeouts`"),
    (&["varnishd"], "Varnish `send_timeout`, `idle_send_timeout`"),
    (&["lighttpd"], "lighttpd `server.max-write-idle`, `server.max-read-idle`"),
];

/// Where the names of a server begin so, these settings end a request that does not come in time.
const REQUEST_TIMEOUTS: [(&[&str], &str); 16] = [
    (&["nginx", "openresty", "angie"], "nginx `client_body_timeout`, `client_header_timeout`"),
    (&["apache2", "httpd"], "Apache `RequestReadTimeout`, which sets a minimal rate too, and `Timeout`"),
    (&["haproxy"], "HAProxy `timeout http-request`, `timeout client`"),
    (&["node", "nodejs"], "Node `server.requestTimeout`, `server.headersTimeout`"),
    (&["gunicorn"], "gunicorn `--timeout`"),
    (&["uwsgi"], "uWSGI `http-timeout`, `socket-timeout`"),
    (&["uvicorn"], "uvicorn has none: its application, or a proxy before it"),
    (&["python"], "gunicorn `--timeout`, uWSGI `http-timeout`, Waitress `channel_timeout`"),
    (&["puma", "ruby"], "Puma `first_data_timeout`"),
    (&["java"], "Tomcat `connectionTimeout`, `connectionUploadTimeout`, Jetty `idleTimeout`"),
    (&["dotnet"], "Kestrel `RequestHeadersTimeout`, `MinRequestBodyDataRate`"),
    (&["caddy"], "Caddy `servers { timeouts { read_body, read_header } }`"),
    (&["traefik"], "Traefik `respondingTimeouts.readTimeout`"),
    (&["envoy"], "Envoy `request_timeout`, `request_headers_timeout`, `stream_idle_timeout`"),
    (&["varnishd"], "Varnish `timeout_idle`, `timeout_req`"),
    (&["lighttpd"], "lighttpd `server.max-read-idle`"),
];

/// Where the names of a server begin so, it takes header sections, or single fields, of so many bytes unless it is told
/// otherwise by this setting. What is not here is taken for one of the many that take 8 KiB.
const HEADS: [(&[&str], u64, &str); 10] = [
    (&["uwsgi"], 4096, "uWSGI `buffer-size`"),
    (&["nginx", "openresty", "angie"], 8192, "nginx `large_client_header_buffers`"),
    (&["apache2", "httpd"], 8190, "Apache `LimitRequestFieldSize`"),
    (&["gunicorn"], 8190, "gunicorn `--limit-request-field_size`"),
    (&["java"], 8192, "Tomcat `maxHttpRequestHeaderSize`, Jetty `requestHeaderSize`"),
    (&["haproxy"], 15_360, "HAProxy `tune.bufsize`, `tune.maxrewrite`"),
    (&["node", "nodejs"], 16_384, "Node `--max-http-header-size`"),
    (&["dotnet"], 32_768, "Kestrel `MaxRequestHeadersTotalSize`"),
    (&["puma", "ruby"], 114_688, "Puma: fixed"),
    (&["caddy", "traefik"], 1 << 20, "Caddy `max_header_size`"),
];

/// The timeout that a server would have that gave up after this time, if it is one that people set.
pub(super) fn round(age: Duration) -> Option<Duration> {
    let mut timeouts = ROUND_S.into_iter().map(Duration::from_secs);
    timeouts.find(|timeout| age + EARLY >= *timeout && age <= *timeout + LATE.max(*timeout / 30))
}

/// The settings of this server that end a request which takes too long.
pub(super) fn timeouts(process: Option<&Process>) -> &'static str {
    let known = of(process, TIMEOUTS.iter(), |(names, _)| names);
    known.map_or("in Go: `http.Server.WriteTimeout`, `ReadTimeout`", |(_, settings)| settings)
}

/// The settings of this server that end a request which does not come in time.
pub(super) fn request_timeouts(process: Option<&Process>) -> &'static str {
    let known = of(process, REQUEST_TIMEOUTS.iter(), |(names, _)| names);
    known.map_or("in Go: `http.Server.ReadTimeout`, `ReadHeaderTimeout`", |(_, settings)| settings)
}

/// How large a header section this server takes, and the setting that says so.
pub(super) fn head_limit(process: Option<&Process>) -> (u64, &'static str) {
    let known = of(process, HEADS.iter(), |(names, ..)| names);
    known.map_or((8192, "such as uWSGI's `buffer-size`, Node's `--max-http-header-size`"), |(_, bytes, setting)| {
        (*bytes, setting)
    })
}

/// The row that is about this process.
fn of<'a, T>(
    process: Option<&Process>,
    rows: impl Iterator<Item = &'a T> + Clone,
    names: impl Fn(&T) -> &[&str],
) -> Option<&'a T> {
    let process = process?;
    let exe = process.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
    let named = |name: &str| rows.clone().find(|row| names(row).iter().any(|one| name.starts_with(one)));
    // Of an interpreter, its process mostly has the better name.
    named(&process.name).or_else(|| exe.and_then(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_just_above_a_round_one_is_a_timeout() {
        let ms = Duration::from_millis;
        for (age, timeout) in [(996, 1), (1056, 1), (2000, 2), (5150, 5), (30_900, 30), (300_004, 300)] {
            assert_eq!(round(ms(age)), Some(Duration::from_secs(timeout)), "{age} ms");
        }
        for age in [0, 12, 970, 1070, 1500, 3000, 5200, 40_000, 311_000] {
            assert_eq!(round(ms(age)), None, "{age} ms");
        }
    }

    #[test]
    fn a_server_is_known_by_its_process_or_its_executable() {
        let of = |name: &str, exe: Option<&str>| {
            timeouts(Some(&Process { name: name.to_owned(), exe: exe.map(str::to_owned), ..Process::default() }))
        };
        assert!(of("MainThread", Some("/usr/bin/node")).starts_with("Node"));
        assert!(of("php-fpm8.2", None).starts_with("php-fpm"));
        assert!(of("gunicorn", Some("/usr/bin/python3.11")).starts_with("gunicorn"));
        assert!(of("api", Some("/srv/api")).starts_with("in Go"));
        assert!(timeouts(None).starts_with("in Go"));
    }
}
