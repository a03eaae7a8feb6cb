//! The configurations in `tests/doctor/root`, which the real servers take, as if each server ran there.

use std::path::Path;

use super::super::finding::Status;
use super::*;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctor/root");

/// What is said of a server that runs in `ROOT` with these arguments.
fn examined(kind: Kind, args: &[&str]) -> (Vec<(Status, String)>, Vec<PathBuf>) {
    let server = Server {
        kind,
        pid: 7,
        name: "it".to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        cwd: "/".to_owned(),
    };
    let mut found = Servers::default();
    found.look(&server, Path::new(ROOT));
    (found.findings.into_iter().map(|one| (one.status, format!("{}: {}", one.name, one.seen))).collect(), found.writes)
}

fn warn(text: &str) -> (Status, String) {
    (Status::Warn, text.to_owned())
}

#[test]
fn nginx_is_read_with_its_includes_and_absolute_links() {
    let (found, writes) = examined(Kind::Nginx, &[]);
    assert_eq!(
        found,
        [
            warn("it keep-alive: keepalive_timeout 15 s (/etc/nginx/sites-enabled/shop:10)"),
            warn(
                "it limits: large_client_header_buffers 4 4k (/etc/nginx/conf.d/limits.conf:3): cookies above it are \
                 refused, over HTTP/2 without an answer"
            ),
            warn(
                "it hang-ups: `limit_req_status 444` (/etc/nginx/conf.d/limits.conf:2), `return 444` \
                 (/etc/nginx/sites-enabled/shop:4)"
            ),
        ]
    );
    assert_eq!(writes, [Path::new(ROOT).join("var/lib/nginx/body")]);
}

#[test]
fn apache_is_read_with_its_hosts() {
    let (found, _) = examined(Kind::Apache, &["-k", "start"]);
    assert_eq!(
        found,
        [
            warn("it keep-alive: KeepAliveTimeout 5 s (/etc/apache2/apache2.conf:5)"),
            warn("it limits: limitrequestfieldsize 4094 (/etc/apache2/sites-enabled/shop.conf:4)"),
        ]
    );
}

#[test]
fn haproxy_is_read_from_a_file_and_from_a_folder() {
    for args in [&["-Ws", "-f", "/etc/haproxy/haproxy.cfg"][..], &["-f", "etc/haproxy"], &[]] {
        let (found, _) = examined(Kind::Haproxy, args);
        assert_eq!(
            found,
            [
                warn("it keep-alive: the timeout of idle connections 10 s (/etc/haproxy/haproxy.cfg:16)"),
                warn("it limits: tune.bufsize 8192 (/etc/haproxy/haproxy.cfg:4), tune.http.maxhdr 101 (its default)"),
                warn("it hang-ups: `http-request silent-drop` (/etc/haproxy/haproxy.cfg:15)"),
            ],
            "{args:?}"
        );
    }
}

#[test]
fn what_haproxy_reads_under_a_condition_is_not_judged_and_said() {
    let (found, _) = examined(Kind::Haproxy, &["-f", "/etc/haproxy/conditional"]);
    let seen = "the timeout of idle connections 900 s (/etc/haproxy/conditional:3)";
    assert_eq!(found.first(), Some(&(Status::Ok, format!("it keep-alive: {seen}"))));
    let unseen = "it configuration: /etc/haproxy/conditional: lines between `.if` and `.endif`";
    assert_eq!(found.last(), Some(&(Status::Unknown, unseen.to_owned())));
}

#[test]
fn caddy_is_read_and_node_can_not_be() {
    let (found, _) = examined(Kind::Caddy, &["run", "--config", "/etc/caddy/Caddyfile"]);
    assert_eq!(
        found,
        [
            warn("it keep-alive: idle timeout 120 s (/etc/caddy/Caddyfile:4)"),
            warn("it hang-ups: `abort` (/etc/caddy/Caddyfile:11)"),
        ]
    );
    assert_eq!(examined(Kind::Node, &["app.js"]).0[0].0, Status::Unknown);
}

#[test]
fn what_is_not_there_is_said_and_not_guessed() {
    let (found, _) = examined(Kind::Nginx, &["-c", "/etc/other.conf"]);
    assert_eq!(found, [(Status::Unknown, "it configuration: /etc/other.conf: not there".to_owned())]);
    let (found, _) = examined(Kind::Caddy, &["run", "--config", "/x.json"]);
    assert_eq!(found, [(Status::Unknown, "it configuration: /x.json: JSON is not read".to_owned())]);
}

#[test]
fn a_default_is_no_warning_where_a_part_could_not_be_read() {
    let mut found = Servers::default();
    let config = block::parse("http { server { listen 80; } }", "/n.conf", block::Style::Semicolons).unwrap();
    let problems = vec![load::Problem::malformed("/etc/nginx/conf.d/a.conf")];
    found.take("it", Loaded { found: config, problems }, nginx::judge);
    let statuses: Vec<_> = found.findings.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [Status::Unknown, Status::Ok, Status::Unknown]);
}
