//! A list of the edge's ranges: no panic, and a list that is taken reads back as itself and holds the ends of its
//! ranges.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::edge::EdgeRanges;

fuzz_target!(|text: &str| {
    let Ok(ranges) = EdgeRanges::parse(text, "list") else { return };
    let lines: String = ranges.iter().map(|range| format!("{range}\n")).collect();
    assert_eq!(EdgeRanges::parse(&lines, "list").as_ref(), Ok(&ranges));
    for range in ranges.iter() {
        for end in [range.network(), range.broadcast()] {
            assert!(ranges.range_of(end).is_some(), "{end} of {range}");
        }
    }
});
