//! Totals, rates, causes and listeners.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, RenderDirection, Sparkline},
};

use super::{
    super::{listeners::Row, model::View, rates::Counted, tally::Tally},
    style::Palette,
};
use crate::sinks::escape::terminal;

/// Columns of a rate's name and value.
const RATE: u16 = 24;
/// Columns of a count.
const COUNT: usize = 5;

/// How long it has watched, and the totals.
pub(super) fn title(view: &View, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let totals = format!(
        "  exchanges {}  failures {}  own 5xx {}  lost {}",
        view.exchanges,
        view.failures.total(),
        view.origin_errors.total(),
        view.lost
    );
    let name = Span::styled(format!("tracer watch {}", clock(view.at)), palette.heading());
    frame.render_widget(Line::from(vec![name, Span::raw(totals)]), area);
}

/// `1:02:03`.
fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A row for each rate: its name, its value, and a bar for each of the last seconds, the newest at the right.
pub(super) fn rates(view: &View, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let rows = [
        ("exchanges/s", Counted::Exchanges, Style::new()),
        ("failures/s", Counted::Failures, palette.failure()),
        ("own 5xx/s", Counted::OriginErrors, palette.answer()),
    ];
    for ((name, what, style), y) in rows.into_iter().zip(area.y..area.bottom()) {
        let row = Rect { y, height: 1, ..area };
        let text = format!("{name:<12}{:>10.1}", view.rates.per_second(what));
        frame.render_widget(Line::raw(text), row);
        let bars = Rect { x: row.x + RATE, width: row.width.saturating_sub(RATE), ..row };
        let seconds = view.rates.seconds(what).take(bars.width.into());
        let line = Sparkline::default().data(seconds).direction(RenderDirection::RightToLeft).style(style);
        frame.render_widget(line, bars);
    }
}

/// Causes of failures, causes of the origin's own answers of 5xx, listeners: side by side.
pub(super) fn panels(view: &View, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    // One column between two of them.
    let (first, second) = (area.width * 3 / 8, area.width / 3);
    let third = Rect { x: area.x + first + second, width: area.width - first - second, ..area };
    causes("failures by cause", &view.failures, palette.failure(), frame, Rect { width: first - 1, ..area }, palette);
    let middle = Rect { x: area.x + first, width: second - 1, ..area };
    causes("origin's own 5xx", &view.origin_errors, palette.answer(), frame, middle, palette);
    listeners(view, frame, third, palette);
}

fn causes(name: &str, tally: &Tally, style: Style, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let ranked = tally.ranked();
    let rows = ranked.iter().map(|(cause, count)| {
        Line::from(vec![Span::raw(format!("{:>COUNT$} ", compact(*count))), Span::styled(*cause, style)])
    });
    panel(Line::styled(format!("      {name}"), palette.heading()), rows, frame, area);
}

fn listeners(view: &View, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let width = usize::from(area.width).saturating_sub(2 * COUNT);
    let heading = format!("{:<width$}{:>COUNT$}{:>COUNT$}", "listeners", "fail", "5xx");
    let ranked = view.listeners.ranked();
    let rows = ranked.iter().map(|row| {
        let counts = [row.counts.failures, row.counts.origin_errors].map(compact);
        Line::raw(format!("{}{:>COUNT$}{:>COUNT$}", filled(&name(row), width), counts[0], counts[1]))
    });
    panel(Line::styled(heading, palette.heading()), rows, frame, area);
}

/// A heading and as many rows as there is room for; the last says how many more there are.
fn panel<'a>(heading: Line<'a>, rows: impl ExactSizeIterator<Item = Line<'a>>, frame: &mut Frame<'_>, area: Rect) {
    let (count, room) = (rows.len(), usize::from(area.height.saturating_sub(1)));
    let shown = if count > room { room.saturating_sub(1) } else { count };
    let mut lines = vec![heading];
    lines.extend(rows.take(shown));
    if count > shown {
        lines.push(Line::raw(format!("{:>COUNT$} more", count - shown)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn name(row: &Row<'_>) -> String {
    let Some(port) = row.port else { return "others".to_owned() };
    format!(":{port} {}", row.process.map_or("-".into(), terminal))
}

/// A text cut or filled up to this many columns.
fn filled(text: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width();
        if used + width > columns.saturating_sub(1) {
            break;
        }
        out.push(c);
        used += width;
    }
    out.extend(std::iter::repeat_n(' ', columns - used));
    out
}

/// In at most five characters.
fn compact(count: u64) -> String {
    match count {
        0..=99_999 => count.to_string(),
        100_000..=9_999_999 => format!("{}k", count / 1_000),
        10_000_000..=9_999_999_999 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", (count / 1_000_000_000).min(9_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_takes_no_more_than_its_column() {
        for count in [0, 99_999, 100_000, 9_999_999, 10_000_000, 9_999_999_999, 10_000_000_000, u64::MAX] {
            assert!(compact(count).len() <= COUNT, "{count}: {}", compact(count));
        }
        assert_eq!(compact(123_456), "123k");
    }

    #[test]
    fn a_name_is_cut_by_columns_not_by_characters() {
        assert_eq!(filled("日本語", 6), "日本  ");
        assert_eq!(filled("ab", 4), "ab  ");
        assert_eq!(filled("ab", 0), "");
    }
}
