//! How text is set off on a terminal.

/// How parts are set off on a terminal that takes colour.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Dim,
    Failure,
    /// An answer of 5xx that the origin gave itself.
    Answer,
    Advice,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Failure => "1;31",
            Self::Answer => "1;33",
            Self::Advice => "36",
        }
    }
}

/// Sets the text off, where colour is wanted.
pub(super) fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
}
