//! What the kernel tests write, read: which passed, which failed and why, what was told, and what the verifier walked.

use std::collections::BTreeMap;

use super::sight::Told;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// The reason in the test's own words.
    Failed(String),
    /// It was wanted, and nothing came of it: the machine or the runner ended first.
    Missing,
}

/// Everything that one run of the tests came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    verdicts: BTreeMap<String, Verdict>,
    /// Programs, in the order of loading, and the instructions that the verifier walked.
    pub(super) programs: Vec<(String, String)>,
    /// The causes that were told as they should be.
    pub(super) told: Told,
    /// The test whose reason is being told.
    telling: Option<String>,
}

impl Outcome {
    /// Takes in one line.
    pub(super) fn read(&mut self, line: &str) {
        if let Some((name, count)) = line.strip_prefix("verified ").and_then(|rest| rest.rsplit_once(' ')) {
            self.programs.push((name.to_owned(), count.to_owned()));
        } else if let Some((cause, certainty)) = line.strip_prefix("told ").and_then(|rest| rest.split_once(' ')) {
            self.told.entry(cause.to_owned()).or_default().insert(certainty.to_owned());
        } else if let Some((name, verdict)) = verdict(line) {
            // Where tests are repeated, one failure is enough.
            if !matches!(self.verdicts.get(name), Some(Verdict::Failed(_))) {
                self.verdicts.insert(name.to_owned(), verdict);
            }
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            self.telling = Some(name.to_owned());
        } else if line.starts_with("test result: ") {
            self.telling = None;
        } else if let Some(Verdict::Failed(why)) = self.telling.as_ref().and_then(|name| self.verdicts.get_mut(name)) {
            if !why.is_empty() {
                why.push('\n');
            }
            why.push_str(line);
        }
    }

    /// How a test ended.
    pub(super) fn verdict(&self, test: &str) -> Verdict {
        self.verdicts.get(test).cloned().unwrap_or(Verdict::Missing)
    }
}

/// `test NAME ... ok (0.1 s)`, and as well `FAILED`, whose reason comes later.
fn verdict(line: &str) -> Option<(&str, Verdict)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match rest.split(' ').next()? {
        "ok" => Some((name, Verdict::Passed)),
        "FAILED" => Some((name, Verdict::Failed(String::new()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        text.lines().for_each(|line| outcome.read(line));
        outcome
    }

    #[test]
    fn verdicts_come_with_their_reasons() {
        let outcome = read(
            "\nrunning 3 tests\ntest a ... ok (0.8 s)\ntest b ... FAILED (1.0 s)\ntest c ... FAILED (2.0 s)\n\
             \n---- b ----\nno record\namong: none\n\n---- c ----\nlate\n\ntest result: FAILED. 1 passed\n",
        );
        assert_eq!(outcome.verdict("a"), Verdict::Passed);
        assert_eq!(outcome.verdict("b"), Verdict::Failed("no record\namong: none\n".into()));
        assert_eq!(outcome.verdict("c"), Verdict::Failed("late\n".into()));
        assert_eq!(outcome.verdict("d"), Verdict::Missing);
    }

    #[test]
    fn a_test_that_failed_once_has_failed() {
        let outcome =
            read("test a ... FAILED (1.0 s)\n---- a ----\nlate\n\ntest result: FAILED.\ntest a ... ok (0.8 s)");
        assert_eq!(outcome.verdict("a"), Verdict::Failed("late\n".into()));
    }

    #[test]
    fn what_was_told_is_kept_with_each_certainty_once() {
        let outcome = read("told crash certain\ntold crash likely\ntold crash certain\ntest a ... ok (0.1 s)");
        let [(cause, certainties)] = &outcome.told.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", outcome.told) };
        assert_eq!((cause.as_str(), certainties.len()), ("crash", 2));
    }

    #[test]
    fn programs_are_kept_in_order() {
        let outcome = read("verified payload_in 53243\nverified kfree_skb n/a");
        let expected = [("payload_in", "53243"), ("kfree_skb", "n/a")];
        assert_eq!(outcome.programs, expected.map(|(name, count)| (name.to_owned(), count.to_owned())));
    }
}
