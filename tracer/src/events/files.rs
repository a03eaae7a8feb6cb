//! The files of a path: an events file with what it was rotated to, or the events files of a folder, the oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::input;
use super::lines::Lines;
use super::notes::Notes;
use super::record::event;
use crate::config::Invalid;

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// Lines within which a file's first event must stand.
const FIRST_LINES: u64 = 16;

/// The files of a path, in series: each is one file with what it was rotated to, the oldest first. A file that was
/// `seen` is left out.
pub(super) fn series(
    path: &Path,
    seen: &mut BTreeSet<PathBuf>,
    notes: &mut Notes,
) -> Result<Vec<Vec<PathBuf>>, Invalid> {
    let wrong = |why: &dyn std::fmt::Display| Invalid::new(format!("{}: {why}", path.display()));
    let kind = fs::metadata(path).map_err(|error| wrong(&hint(&error)))?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(wrong(&"neither a file nor a folder: name the events file, or the folder that holds it"));
    }
    let is_folder = kind.is_dir();
    let folder = if is_folder { path } else { path.parent().unwrap_or(Path::new("")) };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    if !is_folder {
        found.entry(name.clone()).or_default().push(path.to_owned());
    }
    let entries = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    match entries {
        // A file may be readable where its folder is not.
        Err(_) if !is_folder => {
            notes.passed_over(format!("{}: can't be listed: rotated files are not read", folder.display()))
        }
        Err(error) => return Err(wrong(&hint(&error))),
        Ok(entries) => {
            for (count, entry) in entries.enumerate() {
                if count == MAX_ENTRIES {
                    return Err(wrong(&format!("more than {MAX_ENTRIES} files: name the events file instead")));
                }
                let entry = entry.map_err(|error| wrong(&error))?;
                let other = entry.file_name().to_string_lossy().into_owned();
                let is_sibling = other != name && base(&other) == name;
                if (is_folder && !other.starts_with('.') || is_sibling) && entry.path().is_file() {
                    let series = if is_folder { base(&other).to_owned() } else { name.clone() };
                    found.entry(series).or_default().push(folder.join(entry.file_name()));
                }
            }
        }
    }
    let mut all = Vec::new();
    for files in found.into_values() {
        let mut dated = Vec::new();
        for file in files {
            if !seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                continue;
            }
            match first_event(&file) {
                Ok(Some(time)) => {
                    notes.began(time);
                    dated.push((Some(time), file));
                }
                // Named by the user: what is wrong with its lines is told as they are read.
                Ok(None) if file == path => dated.push((None, file)),
                Ok(None) if fs::metadata(&file).is_ok_and(|file| file.len() == 0) => {}
                Ok(None) => notes.passed_over(format!("{}: holds no events and was passed over", file.display())),
                Err(error) if file == path => return Err(wrong(&hint(&error))),
                Err(error) => notes.passed_over(format!("{}: {error}; it was passed over", file.display())),
            }
        }
        dated.sort();
        if !dated.is_empty() {
            all.push(dated.into_iter().map(|(_, file)| file).collect());
        }
    }
    Ok(all)
}

/// An error with what to do about it.
fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error}: run this as root, or as a user that may read it"),
        _ => error.to_string(),
    }
}

/// The name that a file had before it was rotated: without `.gz`, numbers and dates at the end.
fn base(name: &str) -> &str {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let base = plain.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    // `events-2026.ndjson` is a name of its own; so is one that is all digits.
    if base.is_empty() { plain } else { base }
}

/// The time of a file's first event; `None`: it does not begin with events.
fn first_event(path: &Path) -> io::Result<Option<Timestamp>> {
    let mut lines = Lines::new(input::open(path)?);
    while let Some(line) = lines.next(None)? {
        if let Ok(record) = event(line.bytes) {
            return Ok(Some(record.time));
        }
        if line.number >= FIRST_LINES {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_known_by_their_names() {
        for name in ["events.ndjson.1", "events.ndjson.2.gz", "events.ndjson-20261120.gz", "events.ndjson-2026-11-20"] {
            assert_eq!(base(name), "events.ndjson");
        }
        assert_eq!(base("other.ndjson"), "other.ndjson");
        assert_eq!(base("2026.gz"), "2026");
    }
}
