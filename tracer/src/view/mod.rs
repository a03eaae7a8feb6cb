//! The live view of `tracer watch`: what it knows, what a key does to it, and how it looks on so many rows and columns.
//!
//! No terminal, no file and no clock: [`View::update`] takes what happened and when, [`draw()`] fills a frame.
//! Whoever owns the terminal carries out the [`Effect`]s.

mod draw;
mod filter;
mod input;
mod listeners;
mod model;
mod rates;
mod record;
mod steer;
mod tally;

pub use draw::{MIN_HEIGHT, MIN_WIDTH, draw};
pub use input::{Effect, Input, Key, Listening, Numbers};
pub use model::View;
