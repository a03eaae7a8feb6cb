//! The form of commits: a subject of at most 72 columns, a blank line, and a body that says why and how it was checked.

use std::process::Command;

/// Commits up to this one were made before the rule.
const BASE: &str = "3322701dd5fe40f77bd81a5bd1400b098495db6b";
/// Longest subject, in columns.
const SUBJECT: usize = 72;

/// Hash, number of parents and message of each commit since [`BASE`]; `None` without git, or without that commit.
fn since_base() -> Option<Vec<(String, usize, String)>> {
    let range = format!("{BASE}..HEAD");
    let log = ["log", "--format=%H%x00%P%x00%B%x01", &range];
    let output = Command::new("git").args(log).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let commits = text.split('\x01').filter_map(|commit| {
        let mut parts = commit.trim_start().splitn(3, '\0');
        let (hash, parents, message) = (parts.next()?, parts.next()?, parts.next()?);
        Some((hash.to_owned(), parents.split_whitespace().count(), message.to_owned()))
    });
    Some(commits.collect())
}

/// What is wrong with a message; `None`: nothing.
fn fault(message: &str) -> Option<String> {
    let mut lines = message.lines();
    let subject = lines.next().unwrap_or_default();
    let length = subject.chars().count();
    let what = subject.split_once(':').map_or(subject, |(_, what)| what);
    if length > SUBJECT {
        return Some(format!("the subject has {length} columns, and {SUBJECT} fit"));
    }
    if what.trim().is_empty() || subject.starts_with(char::is_whitespace) {
        return Some("the subject is neither `area: what` nor plain words".to_owned());
    }
    if subject.ends_with('.') {
        return Some("the subject ends with a full stop".to_owned());
    }
    if lines.next().is_some_and(|second| !second.trim().is_empty()) {
        return Some("the line below the subject is not blank".to_owned());
    }
    let has_body = lines.any(|line| !line.trim().is_empty());
    (!has_body).then(|| "there is no body: say the problem, the change, and how it was checked".to_owned())
}

#[test]
fn every_commit_since_the_rule_keeps_to_it() {
    let Some(commits) = since_base() else {
        println!("skipped: no git here, or a clone without commit {BASE}");
        return;
    };
    let wrong: Vec<_> = commits
        .iter()
        .filter(|(_, parents, _)| *parents < 2)
        .filter_map(|(hash, _, message)| {
            let why = fault(message)?;
            Some(format!("{} {:?}: {why}", &hash[..hash.len().min(10)], message.lines().next().unwrap_or_default()))
        })
        .collect();
    assert!(wrong.is_empty(), "reword these (git rebase -i):\n  {}", wrong.join("\n  "));
}

#[test]
fn a_message_out_of_form_is_told_why() {
    let long = format!("area: {}", "x".repeat(SUBJECT));
    for (message, why) in [
        (format!("{long}\n\nBody.\n"), "columns"),
        ("area: what\n".to_owned(), "no body"),
        ("area: what\nmore\n\nBody.\n".to_owned(), "not blank"),
        ("area: \n\nBody.\n".to_owned(), "neither"),
        ("area: what.\n\nBody.\n".to_owned(), "full stop"),
        ("area: what\n\nBody.\n".to_owned(), ""),
        ("Plain words\n\nBody.\n".to_owned(), ""),
    ] {
        let found = fault(&message).unwrap_or_default();
        assert!(found.contains(why) && found.is_empty() == why.is_empty(), "{message:?}: {found:?}");
    }
}
