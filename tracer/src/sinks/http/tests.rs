use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;
use crate::counts::Snapshot;
use crate::sinks::sample::{diagnosis, origin_error};

struct Server {
    addr: std::net::SocketAddr,
    web: Arc<Web>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let metrics = Metrics::new(Arc::new(Snapshot::default)).unwrap();
        let web = Arc::new(Web::new(metrics, "attached: all"));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(&web), Arc::new(Access::load(None).unwrap()), async {
            let _ = stopped.await;
        }));
        Self { addr, web, stop, task }
    }

    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut response)).await.unwrap().unwrap();
        String::from_utf8(response).unwrap()
    }

    /// Status, header section in lower case, body.
    async fn ask(&self, method: &str, path: &str, header: &str) -> (u16, String, String) {
        let text = self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n")).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    in_runtime(async {
        let server = Server::start().await;
        let (status, head, body) = server.ask("GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(body.contains("# TYPE tracer_failures_total counter") && !body.contains("# EOF"));
        let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1\r\n";
        let (status, head, body) = server.ask("GET", "/metrics?x=1", accept).await;
        assert_eq!(status, 200);
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{head}"
        );
        assert!(body.ends_with("# EOF\n"));
    });
}

#[test]
fn metrics_are_compressed_where_that_is_accepted() {
    in_runtime(async {
        let server = Server::start().await;
        let plain = server.ask("GET", "/metrics", "").await;
        assert!(!plain.1.contains("content-encoding"));
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut response)).await.unwrap().unwrap();
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(response[..end].to_vec()).unwrap().to_lowercase();
        assert!(head.contains("content-encoding: gzip\r\n") && head.contains("vary: accept, accept-encoding\r\n"));
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&response[end..]), &mut text).unwrap();
        let names = |text: &str| text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(names(&text), names(&plain.2));
        assert!(response.len() < plain.2.len() / 2, "{} of {} bytes", response.len(), plain.2.len());
    });
}

#[test]
fn scrapes_beyond_the_limit_are_refused_and_the_rest_is_not() {
    in_runtime(async {
        let server = Server::start().await;
        let taken: Vec<_> = (0..MAX_SCRAPES).map(|_| server.web.scrapes.try_acquire().unwrap()).collect();
        let (status, head, body) = server.ask("GET", "/metrics", "").await;
        assert_eq!(status, 503);
        assert!(head.contains("retry-after: 1") && body.contains("under way"), "{head}");
        assert_eq!(server.ask("GET", "/-/healthy", "").await.0, 200);
        drop(taken);
        for _ in 0..MAX_SCRAPES * 2 {
            assert_eq!(server.ask("GET", "/metrics", "").await.0, 200, "a place was not given back");
        }
    });
}

#[test]
fn readiness_follows_the_agent_and_health_does_not() {
    in_runtime(async {
        let server = Server::start().await;
        assert_eq!(server.ask("GET", "/-/ready", "").await.0, 503);
        assert_eq!(server.ask("GET", "/-/healthy", "").await.0, 200);
        server.web.set_ready(true);
        assert_eq!(server.ask("GET", "/-/ready", "").await.0, 200);
    });
}

#[test]
fn failure_is_counted_and_shown_and_only_the_last_are_kept() {
    in_runtime(async {
        let server = Server::start().await;
        for port in 1..=60 {
            server.web.record(&Diagnosis { peer_port: port, ..diagnosis() });
        }
        let (status, head, page) = server.ask("GET", "/", "").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/html; charset=utf-8\r\n"));
        assert!(head.contains("content-security-policy: default-src 'none'"));
        assert_eq!(page.matches("<article>").count(), RECENT);
        assert!(page.find(":60<").unwrap() < page.find(":11<").unwrap() && !page.contains(":10<"));
        let text = server.ask("GET", "/metrics", "").await.2;
        assert!(text.contains(r#"tracer_failures_total{cause="empty_reply",edge_status="520"} 60"#));
    });
}

#[test]
fn the_last_records_of_both_kinds_are_served_by_time_and_only_so_many() {
    in_runtime(async {
        let server = Server::start().await;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let (status, head, body) = server.ask("GET", "/api/v1/records", "").await;
        assert_eq!((status, read(&body)["records"].as_array().unwrap().len()), (200, 0));
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let start: Timestamp = read(&body)["begins"].as_str().unwrap().parse().unwrap();
        let time = |second: i64| Timestamp::from_second(4_000_000_000 + second).unwrap();
        server.web.show_origin(&OriginError { time: time(1_000_000), ..origin_error() });
        for second in 0..KEPT as i64 {
            server.web.record(&Diagnosis { time: time(second), ..diagnosis() });
        }
        let answer = read(&server.ask("GET", "/api/v1/records", "").await.2);
        assert_eq!(answer["begins"].as_str().unwrap(), start.to_string());
        server.web.record(&Diagnosis { time: time(KEPT as i64), path: Some("/\u{202e}".into()), ..diagnosis() });
        let text = server.ask("GET", "/api/v1/records?x", "").await.2;
        let answer = read(&text);
        let records = answer["records"].as_array().unwrap();
        assert_eq!((records.len(), &answer["failures"], &answer["origin_errors"]), (KEPT + 1, &501.into(), &1.into()));
        assert_eq!(records[0]["time"].as_str().unwrap(), time(1).to_string());
        assert_eq!((&answer["begins"], &records[KEPT]["kind"]), (&records[0]["time"], &"origin_error".into()));
        let page = include_str!("../../../../docs/history.md");
        let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert!(keys.len() == 7 && keys.iter().all(|key| page.contains(&format!("\n| `{key}` |"))), "{keys:?}");
        assert!(answer["lost"].is_object() && !text.contains('\u{202e}'));
    });
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    in_runtime(async {
        let server = Server::start().await;
        let (status, head, body) = server.ask("HEAD", "/-/healthy", "").await;
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(head.contains("content-length: 8"), "{head}");
    });
}

#[test]
fn other_paths_and_methods_are_refused() {
    in_runtime(async {
        let server = Server::start().await;
        for path in ["/metrics/", "/-/reload", "/..", "//", "/api/v1/", "/api/v1/records/"] {
            assert_eq!(server.ask("GET", path, "").await.0, 404, "{path}");
        }
        let (status, head, _) = server.ask("POST", "/metrics", "Content-Length: 0\r\n").await;
        assert_eq!(status, 405);
        assert!(head.contains("allow: get, head"));
        assert!(server.raw("garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn head_without_end_is_refused() {
    in_runtime(async {
        let server = Server::start().await;
        let (status, ..) = server.ask("GET", "/", &format!("X: {}\r\n", "x".repeat(MAX_HEAD))).await;
        assert_eq!(status, 431);
    });
}

#[test]
fn connections_beyond_the_limit_wait_and_are_then_served() {
    in_runtime(async {
        let server = Server::start().await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(server.addr).await.unwrap());
        }
        let waiting = server.ask("GET", "/-/healthy", "");
        let mut waiting = pin!(waiting);
        assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "served beyond the limit");
        idle.clear();
        assert_eq!(waiting.await.0, 200);
    });
}

#[test]
fn server_stops_when_told_even_with_an_idle_connection() {
    in_runtime(async {
        let server = Server::start().await;
        let _idle = TcpStream::connect(server.addr).await.unwrap();
        server.stop.send(()).unwrap();
        timeout(DRAIN * 20, server.task).await.unwrap().unwrap();
        assert!(TcpStream::connect(server.addr).await.is_err());
    });
}
