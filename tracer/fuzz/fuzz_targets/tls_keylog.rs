//! See [`tracer_fuzz_targets::tls_keylog`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracer_fuzz_targets::tls_keylog(bytes));
