//! No line is longer than rustfmt's `max_width`, comments and strings included, which rustfmt leaves as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::rooms::root;

/// Characters.
const WIDTH: usize = 120;
/// Where this holds.
const HELD: [&str; 6] =
    ["tracer/src/", "tracer/tests/", "tracer/examples/", "tracer/fuzz/", "tracer-common/", "tracer-ebpf/"];

/// Every Rust source of the repository; in a tarball, those that lie there.
fn sources() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z", "*.rs"]).current_dir(root()).output();
    let listed = listed.ok().filter(|output| output.status.success() && !output.stdout.is_empty());
    if let Some(output) = listed {
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        // What is deleted and not committed yet is still listed.
        return names.split_terminator('\0').map(PathBuf::from).filter(|path| root().join(path).exists()).collect();
    }
    let mut found = Vec::new();
    walk(Path::new(""), &mut found);
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder of the repository").flatten() {
        let name = entry.file_name();
        let path = folder.join(&name);
        if entry.path().is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a text that are too long, with their lengths.
fn too_long(text: &str) -> Vec<(usize, usize)> {
    let lengths = text.lines().map(|line| line.chars().count());
    (1..).zip(lengths).filter(|(_, length)| *length > WIDTH).collect()
}

#[test]
fn no_line_is_too_long() {
    let mut wrong = Vec::new();
    let all = sources();
    assert!(all.contains(&PathBuf::from("tracer/src/lib.rs")), "{all:?}");
    for path in all.iter().filter(|path| HELD.iter().any(|held| path.starts_with(held))) {
        let text = fs::read_to_string(root().join(path)).expect("a source");
        let found = too_long(&text).into_iter();
        wrong.extend(found.map(|(line, length)| format!("{}:{line} has {length} columns", path.display())));
    }
    assert!(wrong.is_empty(), "wrap these at {WIDTH}:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_line_that_is_too_long_is_found_by_its_characters() {
    let fits = "ü".repeat(WIDTH);
    assert_eq!(too_long(&format!("a\n{fits}\n{fits}b\n")), [(3, WIDTH + 1)]);
}
