//! The live view on a pseudo-terminal, fed with recorded failures: without root and without a kernel.
//!
//! Each test starts this program again, on a terminal of its own, to run the one test that is the [`stage`].

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod picture;
#[path = "../recorded/mod.rs"]
mod recorded;
mod screen;
mod stage;
