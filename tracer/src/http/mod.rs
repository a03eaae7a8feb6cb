//! The head of an HTTP/1 message, from the bytes that the kernel kept. Hostile input: bounded, no panic.

mod request;
mod response;

pub use request::Request;
pub use response::{Progress, Response};

/// Field lines looked at; Cloudflare sends some thirty, and allows origins more than this many only on paper.
const MAX_FIELDS: usize = 128;
