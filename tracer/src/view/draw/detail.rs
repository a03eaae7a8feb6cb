//! One record: its request, its place, its evidence, its advice.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
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

pub(super) fn draw(view: &View, entry: Option<&Entry>, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let Some(record) = entry.map(|entry| &entry.record) else { return };
    let room = usize::from(area.height.saturating_sub(1));
    let told = lines(record, area.width.into(), palette);
    let first = view.scroll.min(told.len().saturating_sub(room));
    let left = told.len().saturating_sub(first + room);
    let mut shown = vec![palette.ruled(heading(record, palette), area.width)];
    shown.extend(told.into_iter().skip(first).take(room));
    if left > 0 && room > 0 {
        shown.pop();
        shown.push(Line::styled(format!("  {} more lines: enter, page down", left + 1), palette.dim()));
    }
    frame.render_widget(Paragraph::new(shown), area);
}

fn heading(record: &Record, palette: Palette) -> Line<'static> {
    let (style, whose) =
        if record.is_failure() { (palette.failure(), "") } else { (palette.answer(), "origin's own ") };
    Line::from(vec![
        Span::styled(format!("{whose}{} {}", record.status(), record.cause()), style),
        Span::raw(format!("  {}  {}", record.certainty(), record.clock())),
    ])
}

/// All that is told below the heading, wrapped.
fn lines(record: &Record, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let ray = record.ray().map(|ray| format!("ray {}", terminal(ray)));
    let request: Vec<_> = [record.request(), ray].into_iter().flatten().collect();
    let mut told = Vec::new();
    if !request.is_empty() {
        wrap(&mut told, "  ", &request.join("  "), width, Style::new());
    }
    wrap(&mut told, "  ", &record.place(), width, Style::new());
    for fact in record.evidence() {
        wrap(&mut told, "· ", &terminal(fact), width, Style::new());
    }
    wrap(&mut told, "→ ", &terminal(record.advice()), width, palette.advice());
    told
}

fn wrap(told: &mut Vec<Line<'static>>, mark: &str, text: &str, width: usize, style: Style) {
    let options = textwrap::Options::new(width).initial_indent(mark).subsequent_indent("  ");
    told.extend(textwrap::wrap(text, options).into_iter().map(|line| Line::styled(line.into_owned(), style)));
}
