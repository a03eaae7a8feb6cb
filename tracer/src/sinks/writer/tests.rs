use std::path::{Path, PathBuf};

use super::*;
use crate::config::Rotation;
use crate::sinks::sample::diagnosis;

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tracer-writer-{}-{name}", std::process::id()))
}

fn open(path: &Path) -> Writer {
    Writer::open(&Target::File(path.to_owned(), Rotation::default()), Format::Json).unwrap()
}

fn lines(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text.lines().count()
}

#[test]
fn what_was_queued_is_written_before_the_end() {
    let (first, second) = (file("first"), file("second"));
    let writers = [open(&first), open(&second)];
    for _ in 0..100 {
        writers.iter().for_each(|writer| writer.write(&diagnosis()));
    }
    Writer::close(writers).unwrap();
    assert_eq!((lines(&first), lines(&second)), (100, 100));
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let writer = open(Path::new("/dev/full"));
    let shed = writer.shed();
    for _ in 0..3 {
        writer.write(&diagnosis());
    }
    Writer::close([writer]).unwrap();
    assert_eq!(shed.load(Ordering::Relaxed), 3);
}

#[test]
fn a_reopening_is_not_lost_behind_a_full_queue() {
    let path = file("queue");
    let stream = Stream::open(&Target::File(path.clone(), Rotation::default()), Format::Json).unwrap();
    let (orders, waiting) = sync_channel(1);
    let writer = Writer {
        orders,
        finished: sync_channel(1).1,
        reopen: Arc::default(),
        shed: Arc::default(),
        failure: Arc::default(),
    };
    writer.write(&diagnosis());
    writer.write(&diagnosis());
    assert_eq!(writer.shed().load(Ordering::Relaxed), 1, "the queue is full");
    std::fs::remove_file(&path).unwrap();
    writer.reopen();
    let thread = Thread {
        stream,
        target: Target::File(path.clone(), Rotation::default()),
        reopen: Arc::clone(&writer.reopen),
        shed: writer.shed(),
        failure: Arc::default(),
        lost: None,
    };
    let reopen = Arc::clone(&writer.reopen);
    drop(writer.orders);
    thread.run(&waiting);
    assert!(!reopen.load(Ordering::Relaxed));
    assert_eq!(lines(&path), 1);
}
