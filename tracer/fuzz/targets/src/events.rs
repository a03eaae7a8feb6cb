//! What is read again of events that were written before.

use tracer::events::{Lines, MAX_LINE, Ray, Record, event, find_ray, journal_record, read_answer};
use tracer::sinks::past;

/// An events file, a journal's output, a daemon's answer and an error page, all of the same bytes: no panic, no line
/// lost or torn, no query, nothing that a terminal acts on.
pub fn events(bytes: &[u8]) {
    let whole = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let expected: Vec<_> = whole.filter(|line| line.len() <= MAX_LINE).collect();
    assert_eq!(lines(bytes, None), expected);
    let needle = bytes.get(..bytes.len().min(2)).filter(|needle| !needle.is_empty() && !needle.contains(&b'\n'));
    if let Some(needle) = needle {
        let holds = |line: &&&[u8]| line.windows(needle.len()).any(|part| part == needle);
        let expected: Vec<_> = expected.iter().filter(holds).copied().collect();
        assert_eq!(lines(bytes, Some(needle)), expected);
    }
    for line in expected {
        for record in [event(line), journal_record(line)].into_iter().flatten() {
            check(&record);
        }
    }
    if let Some(answer) = read_answer(bytes, ([127, 0, 0, 1], 1).into()) {
        answer.records.iter().for_each(check);
        assert!(answer.records.is_sorted_by_key(|record| record.time));
    }
    let rays = find_ray(bytes);
    assert!(rays.len() <= 100 && rays.iter().all(|ray| Ray::parse(&ray.to_string()) == Some(*ray)));
}

fn lines(bytes: &[u8], needle: Option<&[u8]>) -> Vec<Vec<u8>> {
    let finder = needle.map(memchr::memmem::Finder::new);
    let mut lines = Lines::new(bytes);
    let mut found = Vec::new();
    while let Some(line) = lines.next(finder.as_ref()).expect("bytes in memory") {
        found.push(line.bytes.to_vec());
    }
    found
}

fn check(record: &Record) {
    assert!(!record.path.as_ref().is_some_and(|path| path.contains('?')));
    let shown = past::lines(record, false) + &past::line(record);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    let json = past::json(record).expect("text");
    assert!(!json.chars().any(char::is_control));
    assert_eq!(event(json.as_bytes()).as_ref(), Ok(record));
}
