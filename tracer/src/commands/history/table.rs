//! The counts of one kind as a table.

use std::fmt::{self, Write};

use jiff::Timestamp;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

use super::tally::Tally;
use super::timeline::{length, line};
use crate::config::By;
use crate::sinks::escape::terminal;

/// How wide the longest bar is, where rows are spans of time.
const BAR: u64 = 24;

/// One kind: how many there were, and a row for each group. `span` and `step` are those of a line's columns.
pub(super) fn write(
    out: &mut String,
    what: &str,
    tally: &Tally,
    span: (Timestamp, Timestamp),
    step: i64,
    rows: usize,
) -> fmt::Result {
    let many = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    if tally.total() == 0 {
        return writeln!(out, "no {what}s");
    }
    let by_time = tally.by().iter().any(|by| by.is_time());
    let columns = if by_time { String::new() } else { format!("; a column is {}", length(step)) };
    writeln!(out, "{}{columns}", many(tally.total(), what))?;
    let groups = tally.sorted();
    let most = groups.iter().map(|(_, group)| group.count).max().unwrap_or(1);
    let mut table = Builder::default();
    table
        .push_record(tally.by().iter().map(|by| by.name().to_owned()).chain(["count", "share", ""].map(str::to_owned)));
    for (key, group) in groups.iter().take(rows) {
        let names = tally.by().iter().zip(*key).map(|(by, name)| match (by, name) {
            (By::Status, None) => "cut".to_owned(),
            (_, None) => "-".to_owned(),
            (_, Some(name)) => terminal(name).into_owned(),
        });
        let share = format!("{:.1} %", group.count as f64 * 100.0 / tally.total() as f64);
        let bar = if by_time {
            "█".repeat(usize::try_from((group.count * BAR).div_ceil(most)).unwrap_or(0))
        } else {
            line(&group.timeline.counts(span, step))
        };
        table.push_record(names.chain([group.count.to_string(), share, bar]));
    }
    let mut table = table.build();
    let first = tally.by().len();
    table.with(Style::blank()).with(Padding::new(1, 1, 0, 0));
    table.modify(Columns::new(first..first + 2), Alignment::right());
    for row in table.to_string().lines() {
        writeln!(out, "{}", row.trim_end())?;
    }
    let left = groups.len().saturating_sub(rows);
    if left > 0 {
        let count: u64 = groups.iter().skip(rows).map(|(_, group)| group.count).sum();
        writeln!(out, " and {} with {} (--rows shows more)", many(left as u64, "more row"), many(count, what))?;
    }
    if tally.others() > 0 {
        writeln!(out, " and {} of more groups than are counted apart", many(tally.others(), what))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(by: &[By], rows: usize) -> String {
        let mut tally = Tally::new(by);
        for (second, cause) in [(0, "crash"), (0, "crash"), (30, "crash"), (40, "\\u001b[2J")] {
            let text = format!(r#"{{"time":"2026-11-20T10:00:{second:02}Z","cause":"{cause}","edge_status":520}}"#);
            tally.add(&serde_json::from_str(&text).unwrap());
        }
        let mut out = String::new();
        write(&mut out, "failure", &tally, tally.span().unwrap(), 5, rows).unwrap();
        out
    }

    #[test]
    fn a_table_has_a_row_for_each_group_and_escapes_names() {
        let expected = "\
4 failures; a column is 5 s
 cause       status   count    share
 crash       520          3   75.0 %   █     ▄
 \\u{1b}[2J   520          1   25.0 %           █
";
        assert_eq!(told(&[By::Cause, By::Status], 40), expected);
    }

    #[test]
    fn rows_of_time_have_bars_and_rows_beyond_the_limit_are_counted() {
        let text = told(&[By::Cause, By::Minute], 1);
        assert!(text.starts_with("4 failures\n") && text.contains(&"█".repeat(24)), "{text}");
        assert!(text.ends_with(" and 1 more row with 1 failure (--rows shows more)\n"), "{text}");
    }
}
