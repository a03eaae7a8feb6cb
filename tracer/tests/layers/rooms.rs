//! The layers of each crate: a room (a module at the crate's root) imports from its own layer or a lower one.

use std::path::Path;

use super::graph::{Arrow, Crate, circles, module_of};

/// A crate's sources and its layers, the highest first.
struct House {
    src: &'static str,
    layers: &'static [&'static [&'static str]],
    /// A module's `mod.rs` may call the files below it although they take its own types: a task and its steps.
    parents_call_down: bool,
}

const HOUSES: &[House] = &[
    House {
        src: "tracer/src",
        layers: &[
            &["main", "lib"],
            &["commands"],
            &["agent", "exit", "view"],
            &["probes", "sinks", "host", "recording", "events"],
            &["config"],
            &["cli", "state"],
            &["diagnose"],
            &["decode", "http", "tls", "edge", "counts"],
        ],
        parents_call_down: false,
    },
    House {
        src: "tracer-ebpf/src",
        layers: &[
            &["main", "yardstick"],
            &["hooks"],
            &["conn", "missing", "exchange", "upstream"],
            &["emit"],
            &["tables"],
            &["kernel", "wire"],
            &["parse"],
        ],
        parents_call_down: false,
    },
    House { src: "tracer-common/src", layers: &[], parents_call_down: false },
    House { src: "xtask/src", layers: &[], parents_call_down: true },
    House { src: "lab/src", layers: &[], parents_call_down: true },
];

/// Rooms that take values and the time and give values.
const PURE: [&str; 6] = ["state", "diagnose", "http", "tls", "decode", "view"];

/// What leads outside: the beginning of a path, or a call that ends one.
const OUTSIDE: [&str; 5] = ["std::fs", "std::env", "std::process", "tokio", "log"];
const CLOCKS: [&str; 3] = ["Instant::now", "SystemTime::now", "Timestamp::now"];

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The crates, each with its sources.
fn houses() -> Vec<(&'static House, Crate)> {
    let read = |house: &'static House| (house, Crate::read(root(), house.src).expect("sources that can be read"));
    HOUSES.iter().map(read).collect()
}

/// The room that a file is in.
fn room(file: &str) -> String {
    module_of(file).into_iter().next().unwrap_or_else(|| file.trim_end_matches(".rs").to_owned())
}

/// Arrows that lead upwards, in words, and rooms that stand in no layer.
fn upwards(layers: &[&[&str]], arrows: &[Arrow]) -> Vec<String> {
    let floor = |room: &str| layers.iter().position(|layer| layer.contains(&room));
    let mut wrong = Vec::new();
    for arrow in arrows {
        let (from, to) = (room(&arrow.from), room(&arrow.to));
        match (floor(&from), floor(&to)) {
            (Some(high), Some(low)) if high <= low => {}
            (Some(_), Some(_)) => wrong.push(format!("{arrow}: {from} stands below {to}")),
            (None, _) => wrong.push(format!("{arrow}: {from} stands in no layer")),
            (_, None) => wrong.push(format!("{arrow}: {to} stands in no layer")),
        }
    }
    wrong
}

/// Names of the outside in the pure rooms.
fn outside(sources: &Crate) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, source) in sources.files().filter(|(file, _)| PURE.contains(&room(file).as_str())) {
        for named in &source.names {
            let path = named.segments.join("::");
            let ends_there = |rest: &str| rest.is_empty() || rest.starts_with(':');
            let begins = |outside: &&str| path.strip_prefix(*outside).is_some_and(ends_there);
            let leads = OUTSIDE.iter().any(begins) || path.starts_with("std::net::Tcp");
            if leads || CLOCKS.iter().any(|clock| path.ends_with(clock)) {
                wrong.push(format!("{file}:{} names {path}: {} takes values and the time", named.line, room(file)));
            }
        }
    }
    wrong
}

/// Whether a module's own file names something in a file below it.
fn is_call_down(arrow: &Arrow) -> bool {
    let (from, to) = (module_of(&arrow.from), module_of(&arrow.to));
    to.len() > from.len() && to.starts_with(&from)
}

#[track_caller]
fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    for (house, sources) in houses() {
        let mut arrows = sources.arrows();
        arrows.retain(|arrow| !(house.parents_call_down && is_call_down(arrow)));
        let texts: Vec<_> = circles(&arrows)
            .iter()
            .map(|circle| circle.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))
            .collect();
        none(&format!("{}: move what these lines name to a file that both can import", house.src), &texts);
    }
}

#[test]
fn every_room_imports_downwards() {
    for (house, sources) in houses().iter().filter(|(house, _)| !house.layers.is_empty()) {
        none(&format!("{}: arrows that climb", house.src), &upwards(house.layers, &sources.arrows()));
    }
}

#[test]
fn no_hook_imports_another_hook() {
    for (_, sources) in houses().iter().filter(|(house, _)| house.src == "tracer-ebpf/src") {
        let arrows = sources.arrows();
        let among =
            arrows.iter().filter(|arrow| [&arrow.from, &arrow.to].iter().all(|file| file.starts_with("hooks/")));
        let among = among.filter(|arrow| arrow.from != "hooks/mod.rs");
        none("what two hooks share belongs below them", &among.map(ToString::to_string).collect::<Vec<_>>());
    }
}

#[test]
fn the_pure_rooms_name_nothing_of_the_outside() {
    for (_, sources) in houses().iter().filter(|(house, _)| house.src == "tracer/src") {
        none("hand the value in instead", &outside(sources));
    }
}

#[test]
fn a_call_of_a_file_below_is_told_from_one_beside() {
    let child = ("a/b.rs", "use super::A;\nuse super::c::C;");
    let files = [("lib.rs", "mod a;"), ("a/mod.rs", "mod b;\nuse b::B;"), child, ("a/c.rs", "")];
    let arrows = Crate::new("fake", files).arrows();
    let down: Vec<_> = arrows.iter().filter(|arrow| is_call_down(arrow)).map(|arrow| arrow.path.as_str()).collect();
    assert_eq!((arrows.len(), down), (3, vec!["b::B"]));
}

#[test]
fn an_arrow_that_climbs_and_a_room_without_a_layer_are_found() {
    let files =
        [("lib.rs", ""), ("high.rs", "use crate::low;"), ("low.rs", "use crate::high;"), ("new.rs", "use crate::low;")];
    let arrows = Crate::new("fake", files).arrows();
    assert_eq!(
        upwards(&[&["high"], &["low"]], &arrows),
        [
            "low.rs:1 names crate::high, which high.rs defines: low stands below high",
            "new.rs:1 names crate::low, which low.rs defines: new stands in no layer"
        ]
    );
}

#[test]
fn the_outside_is_found_in_a_pure_room_however_it_is_named() {
    let state =
        "use std::{fs, net};\nuse std::time::Instant;\nfn f() { let _ = Instant::now(); log::debug!(); net::x(); }";
    let files =
        [("lib.rs", ""), ("state.rs", state), ("probes.rs", "use std::fs;"), ("http.rs", "use crate::catalog::log;")];
    let wrong = outside(&Crate::new("fake", files));
    let starts: Vec<_> = wrong.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(starts, ["state.rs:1 names std::fs", "state.rs:3 names Instant::now", "state.rs:3 names log::debug"]);
}
