//! Requests and responses of one connection, as many bytes of each as there are. Whatever they hold, and whether or not
//! the kernel found the end of the header section: no panic; a response that has sent no byte has no status.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::http::{Exchange, Seen};

mod sides;

fuzz_target!(|bytes: &[u8]| {
    let Some((requests, responses)) = sides::split(bytes) else { return };
    let (requested, len) = (requests.len() as u64, responses.len() as u64);
    let tail = &responses[responses.len().saturating_sub(8)..];
    let found = responses.windows(4).position(|at| at == b"\r\n\r\n").map(|at| at as u64 + 4);
    for section in [None, found, Some(len + 1)] {
        // All was kept and sent; more was sent than kept; nothing was sent.
        for (head, len, sent) in [(responses, len, len), (responses, len * 2, len * 2), (&[], len, 0)] {
            let exchange = Exchange::read(requests, requested, &Seen { head, section, tail, len, sent });
            assert!(!head.is_empty() || exchange.response.status.is_none(), "{exchange:?}");
        }
        let half = &requests[..requests.len() / 2];
        let _ = Exchange::read(half, requested, &Seen { head: responses, section, tail, len, sent: len });
    }
});
