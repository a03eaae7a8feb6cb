//! Events that were read again, as the same lines that told of them first.

use anstream::{AutoStream, ColorChoice};

use super::escape;
use super::text;
use super::told::Told;
use crate::events::Record;

/// Whether standard output takes colour.
#[must_use]
pub fn takes_colour() -> bool {
    AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// An event as `tracer watch` shows it, evidence and advice included; the last line ends, too.
#[must_use]
pub fn lines(record: &Record, colour: bool) -> String {
    let mut lines = String::new();
    // Writing to a string can't fail.
    let _ = text::write(&mut lines, &Told::from(record), colour, true);
    lines
}

/// An event as one line, after its time of day.
#[must_use]
pub fn line(record: &Record) -> String {
    let told = Told::from(record);
    format!("{}  {}", text::clock(record.time), text::line(&told))
}

/// A value as JSON that is harmless on a terminal, on one line.
///
/// # Errors
/// A value that has no form in JSON.
pub fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(escape::json(&serde_json::to_string(value)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::sample::{diagnosis, origin_error};

    fn read_again(event: &impl serde::Serialize) -> Record {
        serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap()
    }

    #[test]
    fn an_event_that_is_read_again_reads_as_it_did() {
        let mut first = String::new();
        text::write(&mut first, &Told::from(&diagnosis()), false, true).unwrap();
        assert_eq!(lines(&read_again(&diagnosis()), false), first);
        let mut first = String::new();
        text::write(&mut first, &Told::from(&origin_error()), true, true).unwrap();
        assert_eq!(lines(&read_again(&origin_error()), true), first);
        assert!(line(&read_again(&diagnosis())).starts_with("10:00:00.123Z  520 empty_reply certain  GET www."));
    }

    #[test]
    fn every_field_of_both_kinds_is_read_again() {
        for event in [serde_json::to_value(diagnosis()), serde_json::to_value(origin_error())] {
            let event = event.unwrap();
            let again = serde_json::to_value(read_again(&event)).unwrap();
            for (name, value) in event.as_object().unwrap() {
                assert_eq!(again.get(name), Some(value), "{name}");
            }
        }
    }
}
