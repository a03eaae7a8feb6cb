//! The documents say what the code does: causes, metrics and hooks have one spelling everywhere.

use tracer::{config::Rotation, diagnose::Cause, probes::HOOKS, sinks::journal::MESSAGE_ID};

const README: &str = include_str!("../../README.md");

/// First cells of the README's table of causes, with their statuses.
fn causes_in_readme() -> Vec<(&'static str, &'static str)> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        Some((name, rest.split_once(" | ")?.0))
    })
    .collect()
}

#[test]
fn the_readme_lists_every_cause_with_its_status_and_no_other() {
    let mut expected: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    let mut listed: Vec<_> = causes_in_readme().iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    for cause in Cause::ALL {
        let status = cause.edge_statuses()[0].expect("the first is a number").to_string();
        assert!(causes_in_readme().contains(&(cause.name(), status.as_str())), "{cause} is {status}");
    }
}

#[test]
fn the_readme_names_every_hook_in_its_picture() {
    for hook in HOOKS.iter().filter(|hook| hook.attachment == tracer::probes::Attachment::Tracepoint) {
        if hook.name != "tcp_receive_reset" {
            assert!(README.contains(hook.name), "{}", hook.name);
        }
    }
}

#[test]
fn the_readme_names_the_journals_class_of_entries_and_the_rotation_in_force() {
    assert!(README.contains(&format!("MESSAGE_ID={MESSAGE_ID}`")));
    let Rotation { max_size, keep } = Rotation::default();
    let size = max_size.map(|bytes| format!("{}MiB", bytes >> 20)).unwrap_or_default();
    assert!(
        README.contains(&format!("`--events-max-size` ({size};"))
            && README.contains(&format!("`--events-keep` ({keep})"))
    );
}
