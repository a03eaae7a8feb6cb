//! Which records the list shows: words, each of which must hold.

use super::record::Record;

/// Longest filter, in characters.
pub(super) const LONGEST: usize = 120;

/// The fields that a word can name.
const FIELDS: [(&str, Field); 5] = [
    ("cause", Field::Cause),
    ("status", Field::Status),
    ("host", Field::Host),
    ("port", Field::Port),
    ("process", Field::Process),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Cause,
    /// By its first digits.
    Status,
    Host,
    /// As a whole.
    Port,
    /// The owner of the connection, or the process behind.
    Process,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// `None`: any of them.
    field: Option<Field>,
    /// In lower case.
    text: String,
}

/// What was asked for. Without a word, everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    words: Vec<Word>,
    typed: String,
}

impl Filter {
    /// Reads `cause:crash port:443 example`. Upper and lower case are the same.
    pub(super) fn parse(typed: &str) -> Result<Self, String> {
        let words = typed.split_whitespace().map(word).collect::<Result<_, _>>()?;
        Ok(Self { words, typed: typed.trim().to_owned() })
    }

    /// As it was typed.
    pub(super) fn typed(&self) -> &str {
        &self.typed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn takes(&self, record: &Record) -> bool {
        self.words.iter().all(|word| match word.field {
            Some(field) => field.of(record, &word.text),
            None => FIELDS.iter().any(|(_, field)| field.of(record, &word.text)),
        })
    }
}

fn word(typed: &str) -> Result<Word, String> {
    let Some((name, text)) = typed.split_once(':') else {
        return Ok(Word { field: None, text: typed.to_lowercase() });
    };
    let field = FIELDS.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, field)| *field);
    if field.is_none() {
        let names = FIELDS.map(|(name, _)| name).join(", ");
        return Err(format!("no field is called {name:?}: write one of {names}, or a word without a colon"));
    }
    Ok(Word { field, text: text.to_lowercase() })
}

impl Field {
    fn of(self, record: &Record, text: &str) -> bool {
        let holds = |value: Option<&str>| value.is_some_and(|value| value.to_lowercase().contains(text));
        match self {
            Self::Cause => record.cause().contains(text),
            Self::Status => record.status().starts_with(text),
            Self::Host => holds(record.host()),
            Self::Port => text.parse() == Ok(record.port()),
            Self::Process => holds(record.process()) || holds(record.upstream()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::sample::{diagnosis, origin_error};

    #[track_caller]
    fn check(typed: &str, failure: bool, answer: bool) {
        let filter = Filter::parse(typed).unwrap();
        let taken = [Record::Failure(Box::new(diagnosis())), Record::Origin(Box::new(origin_error()))];
        assert_eq!(taken.map(|record| filter.takes(&record)), [failure, answer], "{typed}");
    }

    #[test]
    fn every_word_must_hold() {
        check("", true, true);
        check("cause:empty", true, false);
        check("cause:empty status:520", true, false);
        check("cause:empty status:502", false, false);
        check("host:EXAMPLE.com", true, true);
        check("port:80", true, true);
        check("port:8", false, false);
        check("status:5", true, true);
        check("process:php", false, true);
        check("PROCESS:nginx", true, true);
        check("cut", false, false);
    }

    #[test]
    fn a_word_without_a_field_may_be_in_any() {
        check("oom", false, true);
        check("520", true, false);
        check("80", true, true);
        check("www", true, true);
        check("php-fpm", false, true);
    }

    #[test]
    fn a_wrong_field_is_named_with_the_right_ones() {
        let error = Filter::parse("hots:x").unwrap_err();
        assert_eq!(
            error,
            "no field is called \"hots\": write one of cause, status, host, port, process, or a word without a colon"
        );
    }
}
