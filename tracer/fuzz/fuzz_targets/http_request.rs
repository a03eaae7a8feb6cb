//! The first bytes of a request: no panic, and the head that is written of what was read reads back as the same
//! request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::http::Request;

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = Request::read(bytes) else { return };
    assert_eq!(Request::read(&request.head()).as_ref(), Some(&request), "{}", request.head().escape_ascii());
});
