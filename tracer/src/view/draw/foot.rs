//! The last row: the filter that is being typed, a note, or the keys.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
};

use super::{super::model::View, style::Palette};
use crate::sinks::escape::terminal;

const KEYS: &str = "q quit  ? help  ↑↓ choose  enter alone  / filter  space pause  c copy  w write";

pub(super) fn draw(view: &View, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    match (&view.typing, view.note()) {
        (Some(typed), None) => prompt(typed, frame, area, palette),
        (_, Some(note)) => frame.render_widget(Line::styled(terminal(note).into_owned(), palette.answer()), area),
        (None, None) => frame.render_widget(Line::styled(KEYS, palette.dim()), area),
    }
}

/// The end of what was typed, and the cursor behind it.
fn prompt(typed: &str, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let text = format!("/{}", terminal(typed));
    let room = usize::from(area.width).saturating_sub(1);
    let mut from = 0;
    while Span::raw(&text[from..]).width() > room {
        from += text[from..].chars().next().map_or(1, char::len_utf8);
    }
    let shown = Span::styled(&text[from..], palette.heading());
    let end = area.x + u16::try_from(shown.width()).unwrap_or(0);
    frame.render_widget(Line::from(shown), area);
    frame.set_cursor_position(Position::new(end, area.y));
}
