//! See [`tracer_fuzz_targets::certificate`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracer_fuzz_targets::certificate(bytes));
