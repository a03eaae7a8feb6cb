//! The matrix in words: tests by kernels, programs by kernels, and the reasons.

use std::fmt::Write as _;

use super::declared::{self, Difference, Worth};
use super::outcome::{Outcome, Verdict};

/// Half of what a kernel's verifier walks before it gives up: what is above has no room to grow.
const MOST_INSTRUCTIONS: u64 = 500_000;
/// Lines of a failure's reason that are shown; the rest is in the log.
const SHOWN: usize = 12;

/// What became of the tests on a kernel.
pub(super) struct Column {
    pub(super) kernel: &'static str,
    pub(super) outcome: Outcome,
    /// Why the tests did not come to their end.
    pub(super) broken: Option<String>,
}

/// The matrix: tests as rows, in their own order.
pub(super) struct Matrix<'a> {
    pub(super) tests: &'a [String],
    pub(super) columns: &'a [Column],
    pub(super) declared: &'a [Difference],
}

impl Matrix<'_> {
    /// The whole report: what failed comes last, since long output is read from its end.
    pub(super) fn text(&self) -> String {
        self.verdicts() + &self.programs() + &self.declarations() + &self.reasons()
    }

    /// What is not as it should be: empty if all is well.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for column in self.columns {
            let kernel = column.kernel;
            for test in self.tests {
                match self.weigh(column, test) {
                    Worth::Good | Worth::Declared(_) => {}
                    Worth::Bad => problems.push(format!("{test} on {kernel}")),
                    Worth::Outdated => problems.push(format!("{test} on {kernel} passes, though declared to fail")),
                }
            }
            for (program, count) in &column.outcome.programs {
                if count.parse().is_ok_and(|count: u64| count > MOST_INSTRUCTIONS) {
                    problems
                        .push(format!("{program} on {kernel}: {count} instructions are more than {MOST_INSTRUCTIONS}"));
                }
            }
        }
        problems
    }

    fn weigh(&self, column: &Column, test: &str) -> Worth {
        declared::weigh(self.declared, column.kernel, test, &column.outcome.verdict(test))
    }

    fn verdicts(&self) -> String {
        let rows = self.tests.iter().map(|test| {
            let cells = self.columns.iter().map(|column| {
                let missing = column.outcome.verdict(test) == Verdict::Missing;
                match self.weigh(column, test) {
                    Worth::Good => "ok",
                    Worth::Declared(_) => "declared",
                    Worth::Bad if missing => "no end",
                    Worth::Bad => "FAILED",
                    Worth::Outdated => "ok?",
                }
                .to_owned()
            });
            (test.clone(), cells.collect())
        });
        self.grid("test", rows.collect())
    }

    /// Instructions that the verifier walked.
    fn programs(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.columns.iter().flat_map(|column| &column.outcome.programs) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let rows = names.into_iter().map(|name| {
            let cells = self.columns.iter().map(|column| {
                let found = column.outcome.programs.iter().find(|(program, _)| program == name);
                found.map_or("-".to_owned(), |(_, count)| count.clone())
            });
            (name.to_owned(), cells.collect())
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() { String::new() } else { self.grid("program: instructions verified", rows) }
    }

    fn grid(&self, corner: &str, rows: Vec<(String, Vec<String>)>) -> String {
        let wide = rows.iter().map(|(name, _)| name.len()).chain([corner.len()]).max().unwrap_or(0);
        let mut text = format!("\n{corner:<wide$}");
        for Column { kernel, .. } in self.columns {
            let _ = write!(text, " {kernel:>8}");
        }
        for (name, cells) in rows {
            let _ = write!(text, "\n{name:<wide$}");
            for cell in cells {
                let _ = write!(text, " {cell:>8}");
            }
        }
        text + "\n"
    }

    /// Why each undeclared failure failed.
    fn reasons(&self) -> String {
        let mut text = String::new();
        for column in self.columns {
            let kernel = column.kernel;
            if let Some(why) = &column.broken {
                let _ = writeln!(text, "\n{kernel}: {why}");
            }
            for test in self.tests {
                if let (Verdict::Failed(why), Worth::Bad) = (column.outcome.verdict(test), self.weigh(column, test)) {
                    let why: Vec<&str> = why.trim().lines().take(SHOWN).collect();
                    let _ = writeln!(text, "\n---- {kernel}: {test} ----\n{}", why.join("\n"));
                }
            }
        }
        text
    }

    fn declarations(&self) -> String {
        let mut text = String::new();
        for column in self.columns {
            for test in self.tests {
                if let Worth::Declared(reason) = self.weigh(column, test) {
                    let _ = writeln!(text, "declared: {test} on {}: {reason}", column.kernel);
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kernel: &'static str, text: &str) -> Column {
        let mut outcome = Outcome::default();
        text.lines().for_each(|line| outcome.read(line));
        Column { kernel, outcome, broken: None }
    }

    #[test]
    fn the_table_shows_each_verdict_and_names_the_problems() {
        let old = column(
            "5.10",
            "verified kfree_skb n/a\ntest a ... ok (0.1 s)\ntest b ... FAILED (0.1 s)\n---- b ----\nwhy\n",
        );
        let new = column(
            "7.2",
            "verified kfree_skb 7\nverified late 8\ntest a ... FAILED (0.1 s)\ntest b ... ok (0.1 s)\n---- a ----\nlate\n",
        );
        let matrix = Matrix {
            tests: &["a".to_owned(), "b".to_owned(), "c".to_owned()],
            columns: &[old, new],
            declared: &[Difference { kernel: "5.10", test: "b", reason: "no hook" }],
        };
        assert_eq!(
            matrix.text(),
            "\ntest     5.10      7.2\
             \na          ok   FAILED\
             \nb    declared       ok\
             \nc      no end   no end\n\
             \nprogram: instructions verified     5.10      7.2\
             \nkfree_skb                           n/a        7\
             \nlate                                  -        8\n\
             declared: b on 5.10: no hook\n\
             \n---- 7.2: a ----\nlate\n"
        );
        assert_eq!(matrix.problems(), ["c on 5.10", "a on 7.2", "c on 7.2"]);
    }
}
