//! The files of a path: an events file with what it was rotated to, or the events files of a folder, the oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
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
    let kind = fs::metadata(path).map_err(|error| wrong(path, hint(&error)))?.file_type();
    let found = if kind.is_dir() {
        in_folder(path)?
    } else if kind.is_file() {
        vec![beside(path, notes)?]
    } else {
        return Err(wrong(path, "neither a file nor a folder: name the events file, or the folder that holds it"));
    };
    let mut all = Vec::new();
    for mut files in found {
        files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
        let files = by_age(files, path, notes)?;
        if !files.is_empty() {
            all.push(files);
        }
    }
    Ok(all)
}

/// A file, and what it was rotated to.
fn beside(path: &Path, notes: &mut Notes) -> Result<Vec<PathBuf>, Invalid> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut files = vec![path.to_owned()];
    match fs::read_dir(folder.unwrap_or(Path::new("."))) {
        // A file may be readable where its folder is not.
        Err(error) => notes.passed_over(format!("{}: rotated files are not read: {error}", path.display())),
        Ok(entries) => {
            let names = names(entries, path)?.into_iter();
            let rotated =
                names.filter(|other| other.to_string_lossy() != name && base(&other.to_string_lossy()) == name);
            files.extend(rotated.map(|other| path.with_file_name(other)).filter(|file| file.is_file()));
        }
    }
    Ok(files)
}

/// The files of a folder by the name that they had before they were rotated; hidden ones are left out.
fn in_folder(folder: &Path) -> Result<Vec<Vec<PathBuf>>, Invalid> {
    let entries = fs::read_dir(folder).map_err(|error| wrong(folder, hint(&error)))?;
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for name in names(entries, folder)? {
        let file = folder.join(&name);
        let name = name.to_string_lossy();
        if !name.starts_with('.') && file.is_file() {
            found.entry(base(&name).to_owned()).or_default().push(file);
        }
    }
    Ok(found.into_values().collect())
}

fn names(entries: fs::ReadDir, path: &Path) -> Result<Vec<OsString>, Invalid> {
    let names = entries.take(MAX_ENTRIES + 1).map(|entry| entry.map(|entry| entry.file_name()));
    let names: Vec<_> = names.collect::<io::Result<_>>().map_err(|error| wrong(path, error))?;
    if names.len() > MAX_ENTRIES {
        return Err(wrong(
            path,
            format!("more than {MAX_ENTRIES} files there: move the events to a folder of their own"),
        ));
    }
    Ok(names)
}

/// The files that hold events, the oldest first. What is wrong with the one that was `asked` for by name is an error.
fn by_age(files: Vec<PathBuf>, asked: &Path, notes: &mut Notes) -> Result<Vec<PathBuf>, Invalid> {
    let mut dated = Vec::new();
    for file in files {
        match first_event(&file) {
            Ok(Some(time)) => {
                notes.began(time);
                dated.push((Some(time), file));
            }
            // What is wrong with its lines is told as they are read.
            Ok(None) if file == asked => dated.push((None, file)),
            Ok(None) if fs::metadata(&file).is_ok_and(|file| file.len() == 0) => {}
            Ok(None) => notes.passed_over(format!("{}: holds no events and was passed over", file.display())),
            Err(error) if file == asked => return Err(wrong(asked, hint(&error))),
            Err(error) => notes.passed_over(format!("{}: {error}; it was passed over", file.display())),
        }
    }
    dated.sort();
    Ok(dated.into_iter().map(|(_, file)| file).collect())
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> Invalid {
    Invalid::new(format!("{}: {why}", path.display()))
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
