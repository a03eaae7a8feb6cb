//! The recordings in `tests/replay`, and what the agent tells of them.
//!
//! They were made with `tracer watch --record FILE` on Linux 6.18 while real servers failed.

use std::{collections::BTreeMap, path::Path, time::Duration};

use tracer::{
    decode::Event,
    diagnose::{Diagnosis, Limits},
    edge::EdgeRanges,
    recording,
    state::{Clock, Output, State},
};

/// The names of all recordings.
#[allow(dead_code, reason = "not every test goes through all")]
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")).expect("the recordings");
    let file_names = files.map(|entry| entry.expect("a recording").file_name().into_string().expect("a plain name"));
    let mut names: Vec<_> = file_names.filter_map(|name| name.strip_suffix(".rec").map(str::to_owned)).collect();
    names.sort();
    names
}

/// What the kernel said.
pub(crate) fn events(name: &str) -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(name).with_extension("rec");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    recording::read(std::io::BufReader::new(file)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replays events as the agent would have seen them.
pub(crate) fn replay(events: &[Event]) -> Vec<Diagnosis> {
    let reasons = BTreeMap::from([(11, "TCP_ABORT_ON_CLOSE".to_owned()), (14, "TCP_STATE".to_owned())]);
    let mut state = State::new(EdgeRanges::builtin(), reasons, BTreeMap::new());
    // The recordings were made with an edge that soon loses patience.
    let [connect, ack, read, write] = [Duration::from_millis(1600); 4];
    state.set_limits(Limits { connect, ack, read, write, ..Limits::default() });
    let mut outputs = Vec::new();
    for event in events {
        let clock = Clock { monotonic_ns: event.time_ns(), wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 };
        outputs.extend(state.expire(clock.monotonic_ns));
        outputs.extend(state.handle(event, &clock));
    }
    outputs.extend(state.flush());
    let failure = |output| match output {
        Output::Failure(diagnosis) => Some(*diagnosis),
        _ => None,
    };
    outputs.into_iter().filter_map(failure).collect()
}
