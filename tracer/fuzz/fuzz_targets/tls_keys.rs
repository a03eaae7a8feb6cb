//! See [`tracer_fuzz_targets::tls_keys`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracer_fuzz_targets::tls_keys(bytes));
