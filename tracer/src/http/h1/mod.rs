//! The head of an HTTP/1 message, from the bytes that the kernel kept. Hostile input: bounded, no panic.

mod exchange;
mod request;
mod response;
mod unfinished;

pub use exchange::Exchange;
pub use request::{Request, without_proxy_header};
pub use response::{Chunks, Fault, Progress, Response, Seen};
pub use unfinished::{Lacks, Unfinished};

/// Field lines looked at: what Cloudflare's own proxy library takes at most.
const MAX_FIELDS: usize = 256;
