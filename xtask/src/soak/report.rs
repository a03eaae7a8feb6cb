//! The end of a soak in words: the table, the counters, the memory, and what is not as it should be.

use std::fmt::Write as _;

use super::counts::Count;
use super::judge::Judgement;
use super::memory::Tenths;
use super::server;

/// Differences shown in full.
const SHOWN: usize = 10;
/// One exchange in so many may go unstaged on a busy machine.
const UNSTAGED: usize = 1000;

/// Everything that the soak came to.
pub(super) struct Outcome {
    pub(super) exchanges: usize,
    pub(super) judgement: Judgement,
    pub(super) counts: Vec<Count>,
    pub(super) memory: Option<Tenths>,
    /// Failures of the plan that were never staged.
    pub(super) unplayed: Vec<&'static str>,
    pub(super) lost: f64,
    /// tracer wrote down what it must not.
    pub(super) leaked: bool,
    /// How tracer's end was not as it should be.
    pub(super) end: Option<String>,
    pub(super) log: String,
}

impl Outcome {
    /// The whole report.
    pub(super) fn text(&self) -> String {
        let mut text = self.table();
        let _ = writeln!(text, "\n{} exchanges made, records lost: {}", self.exchanges, self.lost);
        if let Some(memory) = self.memory {
            let [second, last] = [memory.second, memory.last].map(|bytes| bytes / 1e6);
            let _ = writeln!(text, "tracer's memory: {second:.1} MB in the second tenth, {last:.1} MB in the last");
        }
        for ((server, name), unstaged) in &self.judgement.unstaged {
            let _ = writeln!(text, "\nnot staged, so not judged: {} of {server} {name}; the first:", unstaged.len());
            let _ = unstaged.first().map(|first| writeln!(text, "{first}"));
        }
        for line in self.log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).take(SHOWN) {
            let _ = writeln!(text, "tracer's log: {line}");
        }
        for difference in self.judgement.differences.iter().take(SHOWN) {
            let _ = writeln!(text, "\n{difference}");
        }
        text
    }

    fn table(&self) -> String {
        let mut text = format!(
            "\n{:<10} {:<24} {:>8} {:>6} {:>6} {:>8} {:>6}\n",
            "server", "cause", "provoked", "told", "wrong", "missing", "extra"
        );
        for ((server, cause), row) in &self.judgement.rows {
            let _ = writeln!(
                text,
                "{server:<10} {cause:<24} {:>8} {:>6} {:>6} {:>8} {:>6}",
                row.provoked, row.told, row.wrong, row.missing, row.extra
            );
        }
        let _ = writeln!(text, "\n{:<40} {:>17} {:>10}", "", "made", "counted");
        for count in self.counts.iter().filter(|count| count.made.1 > 0 || count.counted > 0) {
            let (least, most) = count.made;
            let made = if least == most { least.to_string() } else { format!("{least}-{most}") };
            let mark = if count.agrees() { "" } else { "  differs" };
            let _ = writeln!(text, "{:<40} {made:>17} {:>10}{mark}", count.what, count.counted);
        }
        text
    }

    /// What is not as it should be, a line each.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.judgement.is_clean() {
            problems.push(format!("{} differences", self.judgement.differences.len()));
        }
        problems.extend(self.counts.iter().filter(|count| !count.agrees()).map(|count| {
            let (least, most) = count.made;
            format!("{}: {} counted, {least} to {most} made", count.what, count.counted)
        }));
        if self.memory.is_some_and(|memory| !memory.flat()) {
            problems.push("tracer's memory grew".to_owned());
        }
        if self.lost > 0.0 {
            problems.push(format!("{} records were lost", self.lost));
        }
        problems.extend(self.end.clone());
        if self.leaked {
            problems.push("tracer wrote down a query or a cookie".to_owned());
        }
        if !self.unplayed.is_empty() {
            problems.push(format!("never staged: {}", self.unplayed.join(", ")));
        }
        let unstaged: usize = self.judgement.unstaged.values().map(Vec::len).sum();
        if unstaged * UNSTAGED > self.exchanges {
            problems.push(format!("{unstaged} of {} exchanges could not be staged", self.exchanges));
        }
        problems
    }
}

/// The line of a minute.
pub(super) fn progress(minute: u64, of: u64, (exchanges, provoked): (usize, usize), told: usize, rss: f64) {
    let rss = rss / 1e6;
    println!("soak: minute {minute} of {of}: {exchanges} exchanges, {provoked} failures, {told} told, {rss:.1} MB");
}

/// The servers that sound traffic visits, with and without TLS.
pub(super) fn servers() -> String {
    let plain: Vec<&str> = server::VISITED.iter().filter(|server| !server.tls).map(|server| server.name).collect();
    format!("{}, each with and without TLS", plain.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Outcome {
        Outcome {
            exchanges: 5000,
            judgement: Judgement::default(),
            counts: Vec::new(),
            memory: None,
            unplayed: Vec::new(),
            lost: 0.0,
            leaked: false,
            end: None,
            log: String::new(),
        }
    }

    #[test]
    fn each_thing_that_is_not_as_it_should_be_is_a_problem() {
        assert!(clean().problems().is_empty());
        let count = Count { what: "nginx exchanges".to_owned(), made: (2, 3), counted: 4 };
        for wrong in [
            Outcome { counts: vec![count], ..clean() },
            Outcome { memory: Some(Tenths { second: 1e6, last: 9e6 }), ..clean() },
            Outcome { unplayed: vec!["nginx-444"], ..clean() },
            Outcome { lost: 1.0, ..clean() },
            Outcome { leaked: true, ..clean() },
            Outcome { end: Some("SIGTERM ended tracer with 1".to_owned()), ..clean() },
        ] {
            assert_eq!(wrong.problems().len(), 1, "{}", wrong.text());
        }
    }
}
