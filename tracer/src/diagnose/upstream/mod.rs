//! A connection behind the process that holds the edge's: what is known of it, how it failed, and what to do about it.
//! Both kinds of records use it.

mod advice;
mod fields;
mod rules;
mod seen;
mod words;

pub(super) use advice::advice;
pub use fields::UpstreamFields;
pub(super) use rules::{broken, floor, hung_up, is_broken_off, unreached};
pub use seen::{Address, Behind, Connect, Hangup, Upstream};
pub(super) use words::connection;
