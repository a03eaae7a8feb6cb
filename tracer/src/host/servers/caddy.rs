//! Caddy by its Caddyfile: keep-alive, and what hangs up.

use std::time::Duration;

use super::super::finding::Finding;
use super::block::{self, Directive, Style};
use super::find::Server;
use super::idle::{self, Value};
use super::load::{Loaded, Problem};
use super::tree::{Tree, join};
use super::unit::time;

const USUAL: &str = "/etc/caddy/Caddyfile";
/// Its default.
const IDLE: Duration = Duration::from_secs(300);

/// Reads the Caddyfile of a running Caddy; what it imports is not followed.
pub(super) fn load(server: &Server, tree: &Tree) -> Loaded<Vec<Directive>> {
    let given = server.option("--config").into_iter().chain(server.option("-c")).next();
    let path = given.map_or_else(|| USUAL.to_owned(), |path| join(&server.cwd, path));
    if path.ends_with(".json") {
        return Loaded { found: Vec::new(), problems: vec![Problem(format!("{path}: JSON is not read"))] };
    }
    match tree.read(&path).map(|text| block::parse(&text, &path, Style::Lines)) {
        Ok(Some(found)) => Loaded { found, problems: Vec::new() },
        Ok(None) => Loaded { found: Vec::new(), problems: vec![Problem::malformed(&path)] },
        Err(error) => Loaded { found: Vec::new(), problems: vec![Problem::unread(&path, &error)] },
    }
}

/// What the configuration means for the edge.
pub(super) fn judge(server: &str, config: &[Directive]) -> Vec<Finding> {
    let within = |of: &[Directive], name: &str| -> Vec<Directive> {
        of.iter().filter(|one| one.name() == name).flat_map(|one| one.block.clone().unwrap_or_default()).collect()
    };
    // The global options stand in a block without a name.
    let timeouts = within(&within(&within(config, ""), "servers"), "timeouts");
    let mut values: Vec<_> = timeouts
        .iter()
        .filter(|one| one.name() == "idle")
        .filter_map(|one| {
            Some(Value { value: time(one.arg(1), 1000)?, place: Some(format!("{}:{}", one.file, one.line)) })
        })
        .collect();
    if values.is_empty() {
        values.push(Value::default(IDLE));
    }
    let write = "write `idle 910s` in `timeouts` of the global `servers`";
    let mut hang_ups = Vec::new();
    aborts(config, &mut hang_ups);
    let mut found = vec![idle::finding(server, "idle timeout", &values, write)];
    found.extend(idle::hang_ups(server, &hang_ups));
    found
}

fn aborts(of: &[Directive], found: &mut Vec<String>) {
    for one in of {
        if one.name() == "abort" && one.block.is_none() {
            found.push(format!("`abort` ({}:{})", one.file, one.line));
        }
        aborts(one.block.as_deref().unwrap_or_default(), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn judged(text: &str) -> Vec<(Status, String)> {
        let config = block::parse(text, "/C", Style::Lines).unwrap();
        judge("caddy[7]", &config).into_iter().map(|one| (one.status, one.seen)).collect()
    }

    #[test]
    fn the_global_idle_timeout_counts() {
        assert_eq!(judged(":80 {\n respond ok\n}\n"), [(Status::Warn, "idle timeout 300 s (its default)".to_owned())]);
        let text = "{\n servers {\n  timeouts {\n   idle 20m\n  }\n }\n}\n:80 {\n @bad path /x\n abort @bad\n}\n";
        assert_eq!(
            judged(text),
            [(Status::Ok, "idle timeout 1200 s (/C:4)".to_owned()), (Status::Warn, "`abort` (/C:10)".to_owned())]
        );
    }
}
