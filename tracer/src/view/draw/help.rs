//! The keys, and what the view shows.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::style::Palette;

const TEXT: [&str; 13] = [
    "up, down, page up, page down   choose a record",
    "home                           follow the newest one again",
    "end                            choose the oldest one",
    "enter                          show the record alone, or leave it",
    "/                              filter the list: cause:crash port:443 example",
    "                               (fields: cause, status, host, port, process)",
    "escape                         leave the record, the choice, the filter",
    "space                          hold the list; all is counted still",
    "c                              copy the ray (the terminal must allow it)",
    "w                              write the record into the current folder",
    "q, Ctrl-C                      quit, with a summary",
    "own 5xx: answers that the origin gave itself, which are no failures",
    "rates: mean of the last 10 seconds; a bar for each second",
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let heading = Line::styled("keys (any key leaves this page)", palette.heading());
    let lines: Vec<_> = std::iter::once(heading).chain(TEXT.map(Line::raw)).collect();
    frame.render_widget(Paragraph::new(lines), area);
}
