use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use rustix::fs::{CWD, mkfifoat};
use tracer_common::{RANDOM_LEN, TlsKeys};
use zerocopy::FromZeros as _;

use super::*;

/// How long a line may take to be read.
const LIMIT: Duration = Duration::from_secs(10);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tracer-keylog-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// A FIFO at the path.
    fn fifo(&self) -> PathBuf {
        mkfifoat(CWD, self.path(), Mode::RUSR | Mode::WUSR).unwrap();
        self.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The line of a session of TLS 1.2.
fn line(random: u8) -> String {
    format!("CLIENT_RANDOM {} {}\n", format!("{random:02x}").repeat(RANDOM_LEN), "07".repeat(48))
}

fn knows(reader: &Reader, random: u8) -> bool {
    let mut keys = TlsKeys { has_hellos: 1, client_random: [random; RANDOM_LEN], ..TlsKeys::new_zeroed() };
    reader.opens(&Session::take(&mut keys))
}

#[track_caller]
fn wait_for(reader: &Reader, random: u8) {
    let start = Instant::now();
    while !knows(reader, random) {
        assert!(start.elapsed() < LIMIT, "the line of session {random} is not read");
        thread::sleep(Duration::from_millis(1));
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_is_read_from_its_start_and_followed() {
    let folder = Folder::new();
    append(&folder.path(), &line(1));
    let reader = Reader::start(&folder.path()).unwrap();
    wait_for(&reader, 1);
    let text = line(2);
    let (first, rest) = text.split_at(50);
    append(&folder.path(), first);
    thread::sleep(PAUSE * 2);
    assert!(!knows(&reader, 2));
    append(&folder.path(), rest);
    wait_for(&reader, 2);
}

#[test]
fn a_file_that_is_not_there_yet_is_read_once_it_is() {
    let folder = Folder::new();
    let reader = Reader::start(&folder.path()).unwrap();
    thread::sleep(PAUSE * 2);
    append(&folder.path(), &line(1));
    wait_for(&reader, 1);
}

#[test]
fn a_file_that_is_cut_or_replaced_is_read_anew() {
    let folder = Folder::new();
    let path = folder.path();
    append(&path, &[line(1), line(2)].concat());
    let reader = Reader::start(&path).unwrap();
    wait_for(&reader, 2);
    fs::write(&path, line(3)).unwrap();
    wait_for(&reader, 3);
    // The old one is read to its end before the new one.
    let aside = folder.0.join("keys.1");
    fs::rename(&path, &aside).unwrap();
    append(&aside, &line(4));
    append(&path, &line(5));
    wait_for(&reader, 5);
    assert!(knows(&reader, 4) && knows(&reader, 1));
    fs::remove_file(&path).unwrap();
    thread::sleep(PAUSE * 2);
    append(&path, &line(6));
    wait_for(&reader, 6);
}

#[test]
fn of_a_large_file_the_end_is_read() {
    let folder = Folder::new();
    let path = folder.path();
    append(&path, &line(1));
    let filler = OpenOptions::new().append(true).open(&path).unwrap();
    filler.set_len(MOST + line(1).len() as u64 + 1).unwrap();
    append(&path, &format!("\n{}", line(2)));
    let reader = Reader::start(&path).unwrap();
    wait_for(&reader, 2);
    assert!(!knows(&reader, 1));
}

#[test]
fn a_fifo_is_read_from_one_writer_after_the_other() {
    let folder = Folder::new();
    let path = folder.fifo();
    let reader = Reader::start(&path).unwrap();
    for writer in 1..4 {
        append(&path, &line(writer * 2));
        // A line that its writer does not finish is not continued by the next one.
        let mut open = OpenOptions::new().append(true).open(&path).unwrap();
        open.write_all(&line(writer * 2 + 1).as_bytes()[..60]).unwrap();
        wait_for(&reader, writer * 2);
        drop(open);
        thread::sleep(PAUSE * 2);
    }
    assert!(![3, 5, 7].iter().any(|random| knows(&reader, *random)));
    // More than it holds at once does not keep its writer waiting for ever.
    append(&path, &"# nothing\n".repeat(100_000));
    append(&path, &line(9));
    wait_for(&reader, 9);
}

#[test]
fn what_is_neither_a_file_nor_a_fifo_is_not_opened() {
    let folder = Folder::new();
    for path in [Path::new("/dev/zero"), &folder.0] {
        let error = Source::open(path).err().unwrap();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::InvalidInput, "neither a file nor a FIFO".to_owned())
        );
    }
}

#[test]
fn the_thread_ends_with_its_reader() {
    let folder = Folder::new();
    for path in [folder.path(), folder.fifo()] {
        let reader = Reader::start(&path).unwrap();
        let log = Arc::clone(&reader.log);
        drop(reader);
        let start = Instant::now();
        while Arc::strong_count(&log) > 1 {
            assert!(start.elapsed() < LIMIT, "the thread goes on");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
