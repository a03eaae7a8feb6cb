//! Events that were written before, read again: from events files and what they were rotated to, from the journal, from
//! a running daemon. Both kinds of records, of this version or a later one; nothing is held but what is asked for.
//!
//! [`Events::find`] looks at what is there, [`Events::read`] gives records as they lie, [`Events::in_time_order`] by
//! their time. [`Notes`] say what was passed over.

mod daemon;
mod entry;
mod files;
mod filter;
mod input;
mod journal;
mod lines;
mod notes;
mod order;
mod ray;
mod reader;
mod record;
mod stream;
#[cfg(test)]
mod tests;

pub use daemon::{Answer, ask, read as read_answer};
pub use entry::record as journal_record;
pub use filter::Filter;
pub use lines::{Lines, MAX_LINE};
pub use notes::Notes;
pub use order::InTimeOrder;
pub use ray::{Ray, find as find_ray};
pub use reader::{Events, Records, Source};
pub use record::{Kind, NoRecord, Record, SCHEMA, event};
