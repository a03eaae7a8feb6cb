//! The head of an HTTP/1 message, from the bytes that the kernel kept. Hostile input: bounded, no panic.

mod exchange;
mod fields;
mod request;
mod response;
mod unfinished;

use zeroize::Zeroizing;

pub use exchange::Exchange;
pub use fields::{Fields, sizes};
pub use request::{Request, without_proxy_header};
pub(super) use request::{is_ray, without_query};
pub use response::{Chunks, Fault, Progress, Response, Seen};
pub use unfinished::{Lacks, Unfinished};

/// Field lines looked at: what Cloudflare's own proxy library takes at most.
const MAX_FIELDS: usize = 256;

/// Whole lines as a header section that ends. Wiped when dropped: they may have come from inside TLS.
fn with_empty_line(lines: &[u8]) -> Zeroizing<Vec<u8>> {
    // At once as large as it gets: a vector that grows leaves a copy behind.
    let mut section = Zeroizing::new(Vec::with_capacity(lines.len() + 2));
    section.extend_from_slice(lines);
    section.extend_from_slice(b"\r\n");
    section
}
