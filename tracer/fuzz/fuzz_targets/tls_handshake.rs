//! The first bytes of both sides of a TLS connection: no panic, and what fewer kept bytes tell of the name that the
//! edge asked for, the version agreed and the origin's alert, more bytes never tell otherwise.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use tracer::tls::Handshake;

mod sides;

fuzz_target!(|bytes: &[u8]| {
    let Some((edge, origin)) = sides::split(bytes) else { return };
    let (edge_len, origin_len) = (edge.len() as u64, origin.len() as u64);
    let mut tail = [0; 8];
    let last = &origin[origin.len().saturating_sub(8)..];
    tail[8 - last.len()..].copy_from_slice(last);
    // An alert that only the last bytes show is a guess at where its record begins: without them for the comparison.
    let read = |edge, origin| Handshake::read(edge, origin, edge_len, origin_len, [0; 8]);
    let whole = read(edge, origin);
    for eighth in 0..8 {
        let (edge, origin) = (&edge[..edge.len() * eighth / 8], &origin[..origin.len() * eighth / 8]);
        let _ = Handshake::read(edge, origin, edge_len, origin_len, tail);
        let prefix = read(edge, origin);
        agree(&prefix.sni, &whole.sni);
        agree(&prefix.agreed, &whole.agreed);
        agree(&prefix.origin_alert, &whole.origin_alert);
    }
});

fn agree<T: Debug + PartialEq>(prefix: &Option<T>, whole: &Option<T>) {
    assert!(prefix.is_none() || prefix == whole, "{prefix:?} of a prefix, {whole:?} of the whole");
}
