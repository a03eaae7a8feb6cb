//! One record of the kernel programs: whatever it holds, it is refused or becomes an event, and neither the state nor
//! the verdict on it panics.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tracer::{
    decode::Event,
    edge::EdgeRanges,
    state::{Clock, State},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::decode(bytes) else { return };
    let clock = Clock { monotonic_ns: 1_000_000_000_000, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 };
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    // Twice: the second finds what the first left.
    for _ in 0..2 {
        let _ = state.handle(&event, &clock);
        let _ = state.expire(event.time_ns());
    }
    let _ = state.flush();
    assert_eq!(state.next_deadline(), None);
});
