use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A directory of its own, removed in the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-appender-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, max_size: Option<u64>, keep: u32) -> Appender {
        Appender::open(&self.0.join("events"), Rotation { max_size, keep }).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Takes so many bytes of each call, as the list says, and then is full; empty: takes everything.
struct Disk {
    room: Vec<usize>,
    holds: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = if self.room.is_empty() { bytes.len() } else { self.room.remove(0) };
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = room.min(bytes.len());
        self.holds.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn disk(room: &[usize]) -> Lines<Disk> {
    Lines { out: Disk { room: room.to_vec(), holds: Vec::new() }, torn: false }
}

fn holds(lines: &Lines<Disk>) -> &str {
    std::str::from_utf8(&lines.out.holds).unwrap()
}

#[test]
fn a_torn_line_leaves_the_next_one_whole() {
    let mut lines = disk(&[2, 0, 0, 1, 0]);
    assert!(lines.write(b"first\n").is_err(), "two bytes fit");
    assert!(lines.write(b"second\n").is_err(), "none fits");
    assert!(lines.write(b"third\n").is_err(), "only the line end of what was torn fits");
    lines.write(b"fourth\n").unwrap();
    assert_eq!(holds(&lines), "fi\nfourth\n");
}

#[test]
fn a_line_torn_after_a_torn_one_is_torn_too() {
    let mut lines = disk(&[2, 0, 3, 0]);
    assert!(lines.write(b"first\n").is_err() && lines.write(b"second\n").is_err());
    lines.write(b"third\n").unwrap();
    assert_eq!(holds(&lines), "fi\nse\nthird\n");
}

#[test]
fn a_line_that_is_taken_in_parts_is_whole() {
    let mut lines = disk(&[1, 2]);
    lines.write(b"first\n").unwrap();
    lines.write(b"second\n").unwrap();
    assert_eq!(holds(&lines), "first\nsecond\n");
}

#[test]
fn a_line_that_an_earlier_run_left_torn_is_ended_first() {
    let dir = TempDir::new("torn");
    fs::write(dir.0.join("events"), "whole\nto").unwrap();
    dir.open(None, 1).write("next\n").unwrap();
    assert_eq!(dir.read("events"), "whole\nto\nnext\n");
}

#[test]
fn files_move_up_by_one_and_the_oldest_goes() {
    let dir = TempDir::new("rotate");
    let mut events = dir.open(Some(10), 2);
    for line in ["1-------\n", "2-------\n", "3-------\n", "4-------\n"] {
        events.write(line).unwrap();
    }
    assert_eq!(dir.names(), ["events", "events.1", "events.2"]);
    assert_eq!(["events", "events.1", "events.2"].map(|name| dir.read(name).remove(0)), ['4', '3', '2']);
    let mode = fs::metadata(dir.0.join("events")).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "no more than 0640");
}

#[test]
fn a_file_holds_lines_up_to_its_size_and_one_that_is_larger_than_that() {
    let dir = TempDir::new("size");
    let mut events = dir.open(Some(10), 3);
    for line in ["1---\n", "2---\n", "a line larger than a file\n", "3---\n"] {
        events.write(line).unwrap();
    }
    assert_eq!(dir.read("events.2"), "1---\n2---\n");
    assert_eq!((dir.read("events.1").len(), dir.read("events")), (26, "3---\n".to_owned()));
}

#[test]
fn what_was_there_counts_and_is_kept() {
    let dir = TempDir::new("old");
    fs::write(dir.0.join("events"), "before---\n").unwrap();
    dir.open(Some(10), 1).write("after\n").unwrap();
    assert_eq!((dir.read("events.1"), dir.read("events")), ("before---\n".to_owned(), "after\n".to_owned()));
}

#[test]
fn without_a_size_nothing_is_rotated() {
    let dir = TempDir::new("off");
    let mut events = dir.open(None, 1);
    for _ in 0..100 {
        events.write("line\n").unwrap();
    }
    assert_eq!((dir.names().len(), dir.read("events").lines().count()), (1, 100));
}

#[test]
fn a_file_that_was_moved_or_deleted_is_made_anew_at_the_next_line() {
    let dir = TempDir::new("moved");
    let mut events = dir.open(None, 1);
    events.write("first\n").unwrap();
    fs::rename(dir.0.join("events"), dir.0.join("aside")).unwrap();
    events.write("second\n").unwrap();
    assert_eq!((dir.read("aside"), dir.read("events")), ("first\n".to_owned(), "second\n".to_owned()));
    fs::remove_file(dir.0.join("events")).unwrap();
    events.write("third\n").unwrap();
    assert_eq!(dir.read("events"), "third\n");
}

#[test]
fn a_file_that_was_truncated_is_gone_on_with() {
    let dir = TempDir::new("truncated");
    let mut events = dir.open(None, 1);
    events.write("first\n").unwrap();
    fs::write(dir.0.join("events"), "").unwrap();
    events.write("second\n").unwrap();
    assert_eq!(dir.read("events"), "second\n", "no hole before it");
}

#[test]
fn where_no_new_file_can_be_made_the_old_one_takes_the_line() {
    let dir = TempDir::new("stuck");
    let mut events = dir.open(Some(10), 1);
    // A folder under the name of the old file: it can't be replaced by one.
    fs::create_dir_all(dir.0.join("events.1/full")).unwrap();
    for line in ["1-------\n", "2-------\n", "3-------\n"] {
        events.write(line).unwrap();
    }
    assert!(events.stuck && dir.read("events").lines().count() == 3);
    fs::remove_dir_all(dir.0.join("events.1")).unwrap();
    events.write("4-------\n").unwrap();
    assert!(!events.stuck && dir.read("events") == "4-------\n");
}

#[test]
fn a_line_into_a_file_without_a_name_is_lost_and_the_first_after_is_not() {
    let dir = TempDir::new("nameless");
    let mut events = dir.open(None, 1);
    fs::remove_dir_all(&dir.0).unwrap();
    assert_eq!(events.write("first\n").unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::create_dir_all(&dir.0).unwrap();
    events.write("second\n").unwrap();
    assert_eq!(dir.read("events"), "second\n");
}

#[test]
fn devices_are_not_rotated() {
    let mut null = Appender::open(Path::new("/dev/null"), Rotation { max_size: Some(1), keep: 1 }).unwrap();
    null.write("line\n").unwrap();
    null.write("line\n").unwrap();
    assert!(!Path::new("/dev/null.1").exists());
}
