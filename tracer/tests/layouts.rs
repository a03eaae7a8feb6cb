//! The layouts of kernels that the programs are known to run on: what their type information says, cut down to what is
//! asked of it (`layouts/RELEASE.btf`), must still be read as it was when it was recorded (`layouts/RELEASE.txt`).
//!
//! A new kernel's are written by running these tests with its type information named:
//! `TRACER_NEW_LAYOUT=/sys/kernel/btf/vmlinux TRACER_RELEASE=$(uname -r) cargo test -p tracer --test layouts`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tracer::probes::{Build, Layout, TESTED, btf::Btf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts")
}

fn read(data: Vec<u8>) -> Btf {
    Btf::parse(data, &Layout::names()).expect("type information")
}

/// The releases that are recorded.
fn releases() -> Vec<String> {
    let names = fs::read_dir(folder()).expect("the folder of layouts").flatten();
    let names = names.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".btf")?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn every_recorded_kernel_is_read_as_it_was() {
    if let (Ok(from), Ok(release)) = (std::env::var("TRACER_NEW_LAYOUT"), std::env::var("TRACER_RELEASE")) {
        record(Path::new(&from), &release);
    }
    let releases = releases();
    assert!(releases.len() >= 5, "only {releases:?}");
    for release in releases {
        let path = folder().join(&release);
        let layout = Layout::resolve(&read(fs::read(path.with_added_extension("btf")).unwrap())).unwrap();
        assert_eq!(layout.text(), fs::read_to_string(path.with_added_extension("txt")).unwrap(), "{release}");
    }
}

#[test]
fn the_recorded_kernels_are_of_every_tested_line_and_of_no_other() {
    for line in TESTED {
        assert!(releases().iter().any(|release| release.starts_with(&format!("{line}."))), "{line}");
    }
    let is_tested = |release: &String| Build { release, version: "", machine: "x86_64" }.is_tested();
    assert!(releases().iter().all(is_tested), "{:?}", releases());
}

/// Debian 11's kernel with PREEMPT_RT.
#[test]
fn a_kernel_whose_ring_buffers_have_a_lock_that_sleeps_is_refused() {
    let path = folder().join("refused/5.10.0-32-rt-amd64");
    let why = Layout::resolve(&read(fs::read(path.with_added_extension("btf")).unwrap())).unwrap_err();
    assert_eq!(why + "\n", fs::read_to_string(path.with_added_extension("txt")).unwrap());
}

#[test]
fn type_information_cut_short_gives_no_other_offsets() {
    for release in releases() {
        let whole = fs::read(folder().join(&release).with_added_extension("btf")).unwrap();
        let offsets = Layout::resolve(&read(whole.clone())).unwrap().offsets;
        for length in (0..whole.len()).step_by(7) {
            let cut = Btf::parse(whole[..length].to_vec(), &Layout::names()).and_then(|btf| Layout::resolve(&btf));
            // The names at the very end may be of no member.
            assert!(cut.is_err() || cut.is_ok_and(|layout| layout.offsets == offsets), "{release} at {length}");
        }
    }
}

fn record(from: &Path, release: &str) {
    let btf = read(fs::read(from).expect("the type information that is named"));
    let (path, text) = match Layout::resolve(&btf) {
        Ok(layout) => (folder().join(release), layout.text()),
        Err(why) => (folder().join("refused").join(release), why + "\n"),
    };
    fs::write(path.with_added_extension("btf"), Layout::fixture(&btf)).expect("writing a layout");
    fs::write(path.with_added_extension("txt"), text).expect("writing a layout");
}
