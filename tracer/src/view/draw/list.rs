//! The last records, one a row, the newest first.

use std::sync::Arc;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    super::{
        model::View,
        record::{Entry, Record},
    },
    style::Palette,
};
use crate::sinks::escape::terminal;

pub(super) fn draw(view: &View, listed: &[&Arc<Entry>], frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let room = usize::from(area.height.saturating_sub(1));
    let place = view.place(listed);
    // The chosen record is in the middle, but for the two ends.
    let first = place.saturating_sub(room / 2).min(listed.len().saturating_sub(room));
    let shown = listed.iter().enumerate().skip(first).take(room);
    let mut lines = vec![palette.ruled(heading(view, listed.len(), palette), area.width)];
    lines.extend(shown.map(|(at, entry)| row(&entry.record, at == place, palette)));
    if listed.is_empty() {
        let why = if view.filter.is_empty() { "  nothing has failed yet" } else { "  no record that the filter takes" };
        lines.push(Line::styled(why, palette.dim()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(view: &View, count: usize, palette: Palette) -> Line<'static> {
    let mut spans = vec![Span::styled(format!("last records ({count})"), palette.heading())];
    if !view.filter.is_empty() {
        spans.push(Span::raw(format!("  filter: {}", terminal(view.filter.typed()))));
    }
    if let Some(held_back) = view.held_back() {
        spans.push(Span::styled(format!("  paused, {held_back} new"), palette.answer()));
    }
    Line::from(spans)
}

fn row(record: &Record, is_chosen: bool, palette: Palette) -> Line<'static> {
    let (style, own) = if record.is_failure() { (palette.failure(), "") } else { (palette.answer(), "own ") };
    let cause = format!("{} {own}{}", record.status(), record.cause());
    let what = record.request().unwrap_or_else(|| record.place());
    let line = Line::from(vec![
        Span::raw(if is_chosen { "> " } else { "  " }),
        Span::styled(record.clock(), palette.dim()),
        Span::styled(format!("  {cause:<21}"), style),
        Span::raw(format!("  {what}")),
    ]);
    if is_chosen { line.style(palette.chosen()) } else { line }
}
