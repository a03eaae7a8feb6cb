//! The documentation's table of kernels and causes: checked against what a run showed, and written by it if asked.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::sight::{Blur, Sight, Sights, UNMADE};
use crate::sh;

/// The page that holds the table, from the repository's root.
const PAGE: &str = "docs/kernels.md";
const BEGIN: &str = "<!-- Written by `./dev vm --readme`, checked by each whole run. -->\n";
const END: &str = "<!-- The end of what is written. -->\n";
/// Marks of notes, in order.
const MARKS: [&str; 6] = ["¹", "²", "³", "⁴", "⁵", "⁶"];

/// Causes by kernels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    kernels: Vec<String>,
    /// Each cause's cells, in the kernels' order.
    rows: Vec<(String, Vec<Sight>)>,
}

/// Makes sure that [`PAGE`] says what was seen; `write`: makes it say so.
pub(super) fn keep(sights: &Sights<'_>, write: bool) -> Result<()> {
    let path = sh::repo().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{PAGE} has no place for the table"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("the table in {PAGE} has no end"))?;
    let new = render(&merged(&parse(old), &seen(sights), write), sights.blurs);
    if write {
        return fs::write(&path, format!("{before}{BEGIN}{new}{END}{after}"))
            .with_context(|| format!("writing {PAGE}"));
    }
    ensure!(old == new, "the table in {PAGE} is not what was seen: `./dev vm --readme` writes it anew");
    Ok(())
}

fn seen(sights: &Sights<'_>) -> Table {
    let cells = |cause: &String| sights.kernels.iter().map(|(_, told)| sights.of(cause, told)).collect();
    Table {
        kernels: sights.kernels.iter().map(|(kernel, _)| kernel.clone()).collect(),
        rows: sights.causes.iter().map(|cause| (cause.clone(), cells(cause))).collect(),
    }
}

/// What was seen now, and of the kernels that were not looked at what was seen before. A kernel that the table does not
/// have is added only if asked.
fn merged(old: &Table, new: &Table, add: bool) -> Table {
    let mut kernels = old.kernels.clone();
    kernels.extend(new.kernels.iter().filter(|kernel| add && !old.kernels.contains(kernel)).cloned());
    kernels.sort_by_key(|kernel| {
        let (line, rest) = kernel.split_once('-').unwrap_or((kernel, ""));
        (line.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>(), rest.len(), rest.to_owned())
    });
    let cell = |cause: &str, kernel: &String| {
        let of = |table: &Table| {
            let at = table.kernels.iter().position(|known| known == kernel)?;
            table.rows.iter().find(|(name, _)| name == cause)?.1.get(at).copied()
        };
        of(new).or_else(|| of(old)).unwrap_or(Sight::Hidden)
    };
    let row = |(cause, _): &(String, _)| (cause.clone(), kernels.iter().map(|kernel| cell(cause, kernel)).collect());
    Table { rows: new.rows.iter().map(row).collect(), kernels }
}

fn render(table: &Table, blurs: &[Blur]) -> String {
    let mut notes: Vec<&str> = Vec::new();
    let mut text = format!("| | {} |\n| ---{} |\n", table.kernels.join(" | "), " | ---".repeat(table.kernels.len()));
    for (cause, cells) in &table.rows {
        text += &format!("| {cause}");
        for (kernel, sight) in table.kernels.iter().zip(cells) {
            let blur = blurs.iter().find(|blur| blur.kernel == kernel && blur.cause == cause);
            let unmade = UNMADE.iter().find(|(name, _)| name == cause);
            let why = match sight {
                Sight::Exact => None,
                Sight::Unmade => unmade.map(|(_, why)| *why),
                Sight::Coarser | Sight::Hidden => blur.map(|blur| blur.reason),
            };
            text += &format!(" | {}", sight.name());
            if let Some(why) = why {
                let at = notes.iter().position(|note| *note == why).unwrap_or_else(|| {
                    notes.push(why);
                    notes.len() - 1
                });
                text += &format!(" {}", MARKS[at.min(MARKS.len() - 1)]);
            }
        }
        text += " |\n";
    }
    for (mark, note) in MARKS.iter().zip(notes) {
        text += &format!("\n{mark} {note}.\n");
    }
    text
}

/// The table of a text that [`render`] made; of any other, what can be read.
fn parse(text: &str) -> Table {
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let kernels = lines.next().map(cells).unwrap_or_default().into_iter().skip(1).collect();
    let sight = |cell: &String| Sight::ALL.into_iter().find(|sight| cell.starts_with(sight.name()));
    let rows = lines.skip(1).filter_map(|line| {
        let cells = cells(line);
        let (cause, rest) = cells.split_first()?;
        Some((cause.clone(), rest.iter().map(sight).collect::<Option<_>>()?))
    });
    Table { rows: rows.collect(), kernels }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLURS: &[Blur] = &[Blur { kernel: "5.10", cause: "port_closed", sight: Sight::Coarser, reason: "no RST" }];
    const TEXT: &str = "| | 5.10 | 6.18 |\n| --- | --- | --- |\n| port_closed | coarser ¹ | exact |\n\
                        | unexplained | – ² | – ² |\n\n¹ no RST.\n\n² no rule tells it: what lacks evidence is told as the next sure cause.\n";

    fn table(kernels: &[&str], sights: &[Sight]) -> Table {
        Table {
            kernels: kernels.iter().map(|&kernel| kernel.to_owned()).collect(),
            rows: vec![
                ("port_closed".to_owned(), sights.to_vec()),
                ("unexplained".to_owned(), vec![Sight::Unmade; sights.len()]),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let both = table(&["5.10", "6.18"], &[Sight::Coarser, Sight::Exact]);
        assert_eq!(render(&both, BLURS), TEXT);
        assert_eq!(parse(TEXT), both);
    }

    #[test]
    fn a_kernel_that_did_not_run_keeps_its_column_and_a_stranger_gets_one_only_if_asked() {
        let old = table(&["5.10", "6.18"], &[Sight::Coarser, Sight::Exact]);
        let new = table(&["5.10", "6.8"], &[Sight::Hidden, Sight::Exact]);
        assert_eq!(merged(&old, &new, false), table(&["5.10", "6.18"], &[Sight::Hidden, Sight::Exact]));
        let all = table(&["5.10", "6.8", "6.18"], &[Sight::Hidden, Sight::Exact, Sight::Exact]);
        assert_eq!(merged(&old, &new, true), all);
    }

    #[test]
    fn other_builds_of_a_line_stand_behind_it() {
        let kernels = ["7.2", "6.12-arm64", "6.12-rt", "6.12", "6.1"];
        let all = table(&kernels, &[Sight::Exact; 5]);
        assert_eq!(merged(&all, &all, false).kernels, ["6.1", "6.12", "6.12-rt", "6.12-arm64", "7.2"]);
    }

    #[test]
    fn the_page_has_the_place_and_a_table_of_every_pinned_kernel() {
        let text = fs::read_to_string(sh::repo().join(PAGE)).unwrap();
        let old = text.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
        let table = parse(old);
        for kernel in super::super::kernels::KERNELS {
            assert!(table.kernels.iter().any(|known| known == kernel.name), "{}", kernel.name);
        }
        assert_eq!(render(&table, super::super::declared::BLURS), old);
    }
}
