//! How parts are set off: by colour where that is wanted, and always by something else as well.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) colour: bool,
}

impl Palette {
    fn in_colour(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }

    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn failure(self) -> Style {
        self.in_colour(Style::new().add_modifier(Modifier::BOLD), Color::Red)
    }

    /// An answer of 5xx that the origin gave itself.
    pub(super) fn answer(self) -> Style {
        self.in_colour(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
    }

    pub(super) fn advice(self) -> Style {
        self.in_colour(Style::new(), Color::Cyan)
    }

    /// A heading with a line behind it, up to the edge of its area.
    pub(super) fn ruled(self, mut heading: Line<'static>, columns: u16) -> Line<'static> {
        let left = usize::from(columns).saturating_sub(heading.width() + 1);
        heading.push_span(Span::styled(format!(" {}", "─".repeat(left)), self.dim()));
        heading
    }

    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
