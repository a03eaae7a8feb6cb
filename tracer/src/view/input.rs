//! What happens to the view, and what it asks for in turn.

use crate::diagnose::{Diagnosis, origin::OriginError};

/// A key, as far as the view knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Char(char),
    /// Ctrl-C.
    Interrupt,
}

/// A port that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub port: u16,
    /// Name of the process.
    pub process: String,
}

/// What the kernel has counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Exchanges since the start.
    pub exchanges: u64,
    /// Records lost since the start.
    pub lost: u64,
    pub listening: Vec<Listening>,
}

/// What happens to the view.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    Failure(&'a Diagnosis),
    OriginError {
        error: &'a OriginError,
        /// It is to be shown; else only counted.
        in_detail: bool,
    },
    Numbers(Numbers),
    Key(Key),
    /// Something to tell the operator: a line of the log, or how an effect went.
    Note(String),
    /// The window has another size.
    Resized,
    /// Time passes.
    Tick,
}

/// What the view asks of whoever owns the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    /// Put this into the operator's clipboard.
    Copy(String),
    /// Make this file, whose name holds nothing foreign.
    Write {
        name: String,
        text: String,
    },
}
