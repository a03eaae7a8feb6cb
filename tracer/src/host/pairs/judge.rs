//! What a pair's settings and its present state mean.

use super::super::finding::Finding;
use super::super::servers::target::{At, Target};
use super::super::servers::unit::span;
use super::application::Application;

/// Set between the names of the two.
pub(super) const ARROW: &str = " → ";

/// A shorter queue overflows in a burst that a healthy application survives.
const SHORT: u32 = 128;

/// One line, or one for each thing that is to be mended.
pub(super) fn pair(
    server: &str,
    target: &Target,
    application: Option<&Application>,
    somaxconn: Option<u32>,
) -> Vec<Finding> {
    let passed = format!("`{}` ({})", target.setting, target.place);
    let Some(application) = application else {
        let seen = format!("{passed}: nobody listens at {}", target.at);
        let advice = "start the application (systemctl status), or correct the address: each request there is answered \
                      502 or 503";
        return vec![Finding::warn(format!("{server}{ARROW}{}", target.at), seen, advice)];
    };
    let name = format!("{server}{ARROW}{}", application.name);
    let checks = [backlog(application, &target.at, somaxconn), busy(application), timeouts(target, application)];
    let mut found = Vec::new();
    let mut fine = vec![passed.clone()];
    for check in checks {
        match check {
            Checked::Fine(seen) => fine.push(seen),
            Checked::Mend(seen, advice) => {
                found.push(Finding::warn(name.clone(), format!("{seen}; {passed}"), advice));
            }
            Checked::Nothing => {}
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(name, fine.join(", ")));
    }
    found
}

/// What came of one check.
enum Checked {
    /// What was seen.
    Fine(String),
    /// What was seen, and the mend.
    Mend(String, String),
    /// There is nothing to look at.
    Nothing,
}

/// The accept queue.
fn backlog(application: &Application, at: &At, somaxconn: Option<u32>) -> Checked {
    let (queue, limit) = (application.socket.queue, application.socket.limit);
    let capped = somaxconn.filter(|most| *most <= limit);
    let seen = format!("{queue} of at most {limit} connections wait at {at}");
    let who = &application.name;
    let setting = application.pool.as_ref().map_or_else(
        || "the backlog that it listens with".to_owned(),
        |pool| format!("`listen.backlog` {}{}", shown(pool.backlog.value), pool.backlog.origin()),
    );
    if queue > 0 && u64::from(queue) * 2 >= u64::from(limit).max(1) {
        let advice =
            format!("find what keeps {who} from accepting (all workers busy, CPU, swap); then raise {setting}");
        return Checked::Mend(seen, advice);
    }
    if limit < SHORT {
        let first = match capped {
            Some(most) => format!("raise net.core.somaxconn ({most}), then "),
            None => String::new(),
        };
        return Checked::Mend(seen, format!("{first}raise {setting} to {SHORT} or more, and restart {who}"));
    }
    let capped = capped.map_or_else(String::new, |most| format!(" (net.core.somaxconn {most})"));
    Checked::Fine(seen + &capped)
}

fn shown(backlog: u32) -> String {
    if backlog == u32::MAX { "-1".to_owned() } else { backlog.to_string() }
}

/// The workers, against how many there may be.
fn busy(application: &Application) -> Checked {
    let Some(pool) = &application.pool else { return Checked::Nothing };
    let (Some(most), Some(busy)) = (&pool.max_children, application.socket.accepted) else { return Checked::Nothing };
    let setting = format!("pm.max_children {}{}", most.value, most.origin());
    let seen = format!("{busy} of {} children of pool {} busy, {setting}", most.value, pool.name);
    if busy >= most.value {
        let advice = format!(
            "further requests wait: find what keeps the children busy (slow log: `request_slowlog_timeout`), or raise \
             pm.max_children as far as {} × its memory fits",
            most.value
        );
        return Checked::Mend(seen, advice);
    }
    Checked::Fine(seen)
}

/// The time that the server waits, against the time that the application gives itself.
fn timeouts(target: &Target, application: &Application) -> Checked {
    let waits = match &target.timeout {
        Some(timeout) => format!("{} {}{}", target.wait, span(timeout.value), timeout.origin()),
        None => format!("no {}", target.wait),
    };
    let Some((setting, own)) = &application.own else {
        return target.timeout.as_ref().map_or(Checked::Nothing, |_| Checked::Fine(waits));
    };
    let seen = format!("{waits}, {setting} {}{}", span(own.value), own.origin());
    match &target.timeout {
        Some(timeout) if timeout.value < own.value => {
            let advice = format!(
                "the server in front gives up first (504), and the worker goes on for nobody: raise {} above {}, or \
                 lower {setting} below {}",
                target.wait,
                span(own.value),
                span(timeout.value)
            );
            Checked::Mend(seen, advice)
        }
        _ => Checked::Fine(seen),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::finding::Status;
    use super::super::super::servers::idle::Value;
    use super::super::fpm::Pool;
    use super::super::local::Socket;
    use super::*;

    fn at() -> At {
        At::Unix("/run/php/php8.2-fpm.sock".to_owned())
    }

    fn placed<T>(value: T, line: usize) -> Value<T> {
        Value { value, place: Some(format!("/etc/php/8.2/fpm/pool.d/www.conf:{line}")) }
    }

    fn target() -> Target {
        Target {
            at: at(),
            setting: "fastcgi_pass unix:/run/php/php8.2-fpm.sock".to_owned(),
            place: "/etc/nginx/sites-enabled/shop:9".to_owned(),
            wait: "fastcgi_read_timeout",
            timeout: Some(Value::default(Duration::from_secs(60))),
        }
    }

    fn fpm() -> Application {
        let pool = Pool {
            name: "www".to_owned(),
            at: Some(at()),
            max_children: Some(placed(5, 3)),
            backlog: Value::default(511),
            terminate: placed(Duration::from_secs(30), 4),
        };
        Application {
            name: "php-fpm8.2[31]".to_owned(),
            socket: Socket { queue: 0, limit: 511, inode: 1, accepted: Some(2) },
            own: Some(("request_terminate_timeout", pool.terminate.clone())),
            pool: Some(pool),
        }
    }

    fn judged(application: &Application, somaxconn: u32) -> Vec<(Status, String, String)> {
        let found = pair("nginx[7]", &target(), Some(application), Some(somaxconn));
        assert!(found.iter().all(|one| one.name == "nginx[7] → php-fpm8.2[31]"));
        found.into_iter().map(|one| (one.status, one.seen, one.advice.unwrap_or_default())).collect()
    }

    #[test]
    fn a_pair_in_order_is_one_line_with_all_that_was_measured() {
        let [(status, seen, _)] = &judged(&fpm(), 4096)[..] else { panic!("one line") };
        assert_eq!(*status, Status::Ok);
        let expected = "`fastcgi_pass unix:/run/php/php8.2-fpm.sock` (/etc/nginx/sites-enabled/shop:9), 0 of at most \
                        511 connections wait at unix:/run/php/php8.2-fpm.sock, 2 of 5 children of pool www busy, \
                        pm.max_children 5 (/etc/php/8.2/fpm/pool.d/www.conf:3), fastcgi_read_timeout 60 s (its \
                        default), request_terminate_timeout 30 s (/etc/php/8.2/fpm/pool.d/www.conf:4)";
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_worker_that_outlives_the_patience_of_the_server_in_front_is_a_contradiction() {
        let mut application = fpm();
        application.own = Some(("request_terminate_timeout", placed(Duration::from_secs(120), 4)));
        let [(status, seen, advice)] = &judged(&application, 4096)[..] else { panic!("one line") };
        assert_eq!(*status, Status::Warn);
        assert!(seen.starts_with("fastcgi_read_timeout 60 s (its default), request_terminate_timeout 120 s"), "{seen}");
        assert!(advice.contains("raise fastcgi_read_timeout above 120 s"), "{advice}");
        let patient = Target { timeout: None, ..target() };
        assert_eq!(pair("nginx[7]", &patient, Some(&application), None)[0].status, Status::Ok);
    }

    #[test]
    fn busy_children_and_full_or_short_queues_are_warned_of_each_on_its_line() {
        let mut application = fpm();
        application.socket = Socket { queue: 400, limit: 511, inode: 1, accepted: Some(5) };
        let found = judged(&application, 4096);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1.starts_with("400 of at most 511 connections wait"), "{}", found[0].1);
        assert!(found[0].2.contains("`listen.backlog` 511 (its default)"), "{}", found[0].2);
        assert!(found[1].1.starts_with("5 of 5 children of pool www busy"), "{}", found[1].1);
        application.socket = Socket { queue: 0, limit: 64, inode: 1, accepted: Some(0) };
        let [(_, _, advice)] = &judged(&application, 64)[..] else { panic!("one line") };
        assert!(advice.starts_with("raise net.core.somaxconn (64), then raise `listen.backlog` 511"), "{advice}");
        let [(_, _, advice)] = &judged(&application, 4096)[..] else { panic!("one line") };
        assert!(advice.starts_with("raise `listen.backlog`"), "{advice}");
    }

    #[test]
    fn an_address_where_nobody_listens_is_named() {
        let [finding] = &pair("nginx[7]", &target(), None, None)[..] else { panic!("one line") };
        assert_eq!(finding.status, Status::Warn);
        assert_eq!(finding.name, "nginx[7] → unix:/run/php/php8.2-fpm.sock");
        assert!(finding.seen.ends_with("nobody listens at unix:/run/php/php8.2-fpm.sock"), "{}", finding.seen);
    }

    #[test]
    fn of_an_unknown_application_the_queue_is_judged_alone() {
        let application = Application { pool: None, own: None, ..fpm() };
        let [(status, seen, _)] = &judged(&application, 4096)[..] else { panic!("one line") };
        assert_eq!(*status, Status::Ok);
        assert!(seen.ends_with("fastcgi_read_timeout 60 s (its default)"), "{seen}");
    }
}
