//! Replays a recording (`tracer watch --record FILE`) and prints the verdicts: no root, no kernel programs.
//!
//! ```sh
//! cargo run --example replay -- tracer/tests/replay/oom_worker_many.rec
//! ```

use std::{collections::BTreeMap, fs::File, io::BufReader};

use anyhow::{Context as _, Result};
use tracer::{
    config::Target,
    edge::EdgeRanges,
    recording,
    sinks::stream::{Format, Stream},
    state::{Clock, Output, State},
};

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("usage: replay FILE")?;
    let events = recording::read(BufReader::new(File::open(path)?))?;
    // A recording holds no names of reset reasons and no processes from before its start.
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let mut outputs = Vec::new();
    for event in &events {
        // Nor the time of day: the verdicts carry the start of 1970.
        let clock = Clock { monotonic_ns: event.time_ns(), wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 };
        outputs.extend(state.expire(clock.monotonic_ns));
        outputs.extend(state.handle(event, &clock));
    }
    outputs.extend(state.flush());
    let mut stream = Stream::open(&Target::Stdout, Format::Text)?;
    for output in outputs {
        if let Output::Failure(diagnosis) = output {
            stream.write(&diagnosis)?;
        }
    }
    Ok(())
}
