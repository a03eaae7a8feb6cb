//! The view on so many columns and rows. All foreign text is escaped before it gets into a cell.

mod areas;
mod counts;
mod detail;
mod foot;
mod help;
mod list;
mod style;

use ratatui::{
    Frame,
    text::Line,
    widgets::{Paragraph, Wrap},
};

use areas::{Areas, Space};
pub use areas::{MIN_HEIGHT, MIN_WIDTH};
use style::Palette;

use super::model::{Mode, View};

/// Fills a frame; with `colour` in the terminal's own sixteen colours.
pub fn draw(view: &View, frame: &mut Frame<'_>, colour: bool) {
    let palette = Palette { colour };
    let window = frame.area();
    let Some(space) = Space::of(window) else {
        let (width, height) = (window.width, window.height);
        let why = format!("This window is {width}x{height}; the view needs {MIN_WIDTH}x{MIN_HEIGHT}. q quits.");
        frame.render_widget(Paragraph::new(Line::raw(why)).wrap(Wrap { trim: true }), window);
        return;
    };
    counts::title(view, frame, space.title, palette);
    foot::draw(view, frame, space.foot, palette);
    let listed = view.listed();
    match view.mode {
        Mode::Help => help::draw(frame, space.body, palette),
        Mode::Detail => detail::draw(view, view.shown(&listed), frame, space.body, palette),
        Mode::List => {
            let areas = Areas::of(space.body);
            counts::rates(view, frame, areas.rates, palette);
            counts::panels(view, frame, areas.panels, palette);
            list::draw(view, &listed, frame, areas.list, palette);
            detail::draw(view, view.shown(&listed), frame, areas.detail, palette);
        }
    }
}

#[cfg(test)]
mod tests;
