//! A recording: whatever it holds, it is refused or its events replay without a panic, and recording them again loses
//! none.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tracer::{
    edge::EdgeRanges,
    recording::{self, Recorder},
    state::{Clock, State},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(events) = recording::read(bytes) else { return };
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let mut again = Vec::new();
    let mut recorder = Recorder::new(&mut again).expect("memory takes every write");
    for event in &events {
        let clock = Clock { monotonic_ns: event.time_ns(), wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 };
        let _ = state.expire(clock.monotonic_ns);
        let _ = state.handle(event, &clock);
        recorder.write(event).expect("memory takes every write");
    }
    let _ = state.flush();
    let read = recording::read(&again[..]).expect("what was recorded can be read");
    assert_eq!(read.len(), events.len());
});
