//! HTTP/2 (RFC 9113): the streams of one connection, from the plaintext of both sides, of which only some was kept.
//! Hostile input: bounded, no panic.

mod connection;
mod error;
mod follow;
mod frame;
#[cfg(test)]
mod gap_tests;
mod head;
mod hpack;
mod look;
mod payload;
mod piece;
#[cfg(test)]
mod proptests;
mod reader;
#[cfg(test)]
mod samples;
mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use error::{Broken, ConnectionError, StreamError, error_name};
pub use look::{frame, preface};
pub use piece::{Gap, Piece};
pub use reader::GoAway;
pub use stream::{Reset, Response, Stream};
