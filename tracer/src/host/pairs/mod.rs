//! Pairs of a server and the application behind it: whether the application takes connections, has workers left, and
//! ends its requests before the server in front gives up.

mod application;
mod fpm;
mod gunicorn;
mod judge;
mod local;

use std::collections::BTreeMap;

use self::application::{Application, look};
use self::judge::ARROW;
use self::local::Local;
use super::finding::{Finding, Status};
use super::servers::target::{At, Target};
use super::{listeners, network};

/// Judges every pair: each place in the configuration of one of these servers (its name and pid) that passes requests
/// on, and what listens there.
pub(super) fn examine(passes: &[(String, i32, Target)], somaxconn: Option<u32>) -> Vec<Finding> {
    let mut by_server: BTreeMap<i32, Vec<(&str, &Target)>> = BTreeMap::new();
    for (name, pid, target) in passes.iter().filter(|(_, _, target)| target.at.is_local()) {
        by_server.entry(*pid).or_default().push((name, target));
    }
    let mut found = Vec::new();
    for (pid, targets) in by_server {
        let Some(local) = network::inside(pid, Local::here).or_else(|| Some(Local::here())) else { continue };
        let local = match local {
            Ok(local) => local,
            Err(why) => {
                found.push(Finding::unknown("upstreams", why, "run as root"));
                continue;
            }
        };
        found.extend(of_server(&targets, &local, somaxconn));
    }
    found
}

/// The pairs of one server: those of the same two that are told the same share a line.
fn of_server(targets: &[(&str, &Target)], local: &Local, somaxconn: Option<u32>) -> Vec<Finding> {
    let sockets = targets.iter().filter_map(|(_, target)| local.at(&target.at)).map(|socket| socket.inode).collect();
    let holders = listeners::holders(&sockets);
    let mut known: BTreeMap<&At, Option<Application>> = BTreeMap::new();
    let mut found: Vec<Finding> = Vec::new();
    for (server, target) in targets {
        let application = known.entry(&target.at).or_insert_with(|| {
            let socket = local.at(&target.at)?;
            let first = holders.get(&socket.inode).and_then(|pids| pids.iter().min()).copied();
            Some(look(socket, &target.at, first))
        });
        for finding in judge::pair(server, target, application.as_ref(), somaxconn) {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    found
}

/// The findings for a reader who does not want all: pairs that are in order share a line.
pub(super) fn brief(findings: Vec<Finding>) -> Vec<Finding> {
    let is_fine = |one: &Finding| one.status == Status::Ok && one.name.contains(ARROW);
    let fine = findings.iter().filter(|one| is_fine(one)).count();
    let mut brief: Vec<_> = findings.into_iter().filter(|one| !is_fine(one)).collect();
    if fine > 0 {
        let pairs = if fine == 1 { "1 pair" } else { &format!("{fine} pairs") };
        brief.push(Finding::ok(
            "upstreams",
            format!("{pairs} of server and application in order (--verbose names each)"),
        ));
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_order_share_a_line_and_others_do_not() {
        let ok = |name: &str| Finding::ok(name, "fine");
        let warn = Finding::warn("nginx[1] → php-fpm[2]", "busy", "mend");
        let brief = brief(vec![ok("memory"), ok("nginx[1] → a[3]"), warn.clone(), ok("nginx[1] → b[4]")]);
        let all = Finding::ok("upstreams", "2 pairs of server and application in order (--verbose names each)");
        assert_eq!(brief, [ok("memory"), warn, all]);
    }
}
