//! The TOML file: which keys it may hold, and on which line each stands. Values are read as text, like a flag's.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Invalid, read_text};

/// Every key: the long options of `run`, without `--config` and those that begin with `no-`, and `payload`.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "events",
    "events-max-size",
    "events-keep",
    "journald",
    "web-config",
    "ranges",
    "extra-range",
    "port",
    "connect-timeout",
    "ack-timeout",
    "read-timeout",
    "write-timeout",
    "header-limit",
    "log-level",
    "payload",
    "tls-sight",
    "tls-keylog",
];

/// A key is "meant" if at most this many letters differ.
const TYPO_DISTANCE: usize = 2;

/// One key of the file, with its value or values as text.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) values: Vec<String>,
    pub(super) is_list: bool,
}

/// A configuration file whose keys are all known.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// The path as errors show it.
    pub(super) name: String,
    entries: Vec<Entry>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, Invalid> {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|why| Invalid::new(format!("configuration file {name}: {why}")))?;
        Self::parse(name, &text)
    }

    pub(super) fn parse(name: String, text: &str) -> Result<Self, Invalid> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            Invalid::new(format!("{name}:{line}: {}", error.message().replace('\n', ", ")))
        })?;
        let mut entries = Vec::new();
        for (key, value) in table.into_inner() {
            let (line, key) = (line_of(text, key.span().start), key.into_inner());
            let wrong = |why: String| Invalid::new(format!("{name}:{line}: {why}"));
            if !KEYS.contains(&key.as_ref()) {
                return Err(wrong(unknown(&key)));
            }
            let (values, is_list) = values(&value).map_err(|why| wrong(format!("{key}: {why}")))?;
            entries.push(Entry { key: key.into_owned(), line, values, is_list });
        }
        Ok(Self { name, entries })
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

fn values(value: &Spanned<DeValue<'_>>) -> Result<(Vec<String>, bool), String> {
    match value.get_ref() {
        DeValue::Array(list) => Ok((list.iter().map(|item| scalar(item.get_ref())).collect::<Result<_, _>>()?, true)),
        single => Ok((vec![scalar(single)?], false)),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => Err(format!("{number} must be written in decimal")),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        other => Err(format!("{} can't stand here (write a string, a number or a list of them)", other.type_str())),
    }
}

fn unknown(key: &str) -> String {
    let near = KEYS.iter().map(|&known| (distance(key, known), known)).min();
    match near {
        Some((distance, known)) if distance <= TYPO_DISTANCE => {
            format!("unknown key {key:?} (did you mean {known:?}?)")
        }
        _ => format!("unknown key {key:?} (known: {})", KEYS.join(", ")),
    }
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.chars().enumerate() {
            let replace = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn refused(text: &str) -> String {
        ConfigFile::parse("tracer.toml".into(), text).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_the_options_of_run() {
        let mut run = crate::cli::Cli::command().find_subcommand("run").cloned().unwrap();
        run.build();
        let mut options: Vec<_> = run.get_arguments().filter_map(|arg| arg.get_long()).collect();
        options.retain(|name| !["config", "no-payload", "no-tls-sight", "help"].contains(name));
        let mut keys = KEYS.to_vec();
        options.sort_unstable();
        keys.sort_unstable();
        assert_eq!(options, keys);
    }

    #[test]
    fn unknown_key_is_named_with_file_line_and_the_likely_one() {
        assert_eq!(
            refused("# a\nport = [80]\nlisen = \"x\""),
            r#"tracer.toml:3: unknown key "lisen" (did you mean "listen"?)"#
        );
        assert_eq!(
            refused("read_timeout = \"2s\""),
            r#"tracer.toml:1: unknown key "read_timeout" (did you mean "read-timeout"?)"#
        );
        assert!(refused("colour = 1").starts_with(r#"tracer.toml:1: unknown key "colour" (known: listen, events"#));
        assert!(refused("\n[run]\nport = 80").starts_with(r#"tracer.toml:2: unknown key "run""#));
    }

    #[test]
    fn broken_toml_and_doubled_keys_are_named_with_their_line() {
        for (text, line) in [("port = [80 81]", 1), ("port = 80\nlisten =\n", 2), ("port = 80\n\nport = 81", 3)] {
            let error = refused(text);
            assert!(error.starts_with(&format!("tracer.toml:{line}: ")), "{error}");
        }
    }

    #[test]
    fn values_that_no_key_can_take_are_refused() {
        assert!(refused("listen.port = 80").contains("tracer.toml:1: listen: table can't stand here"));
        assert!(refused("read-timeout = 2026-11-20").contains("read-timeout: datetime can't stand here"));
        assert!(refused("port = [[80]]").contains("port: array can't stand here"));
        assert!(refused("port = 0x50").contains("port: 0x50 must be written in decimal"));
    }

    #[test]
    fn scalars_and_lists_become_text() {
        let file =
            ConfigFile::parse("t".into(), "port = [80, \"443\"]\npayload = false\nheader-limit = 131_072").unwrap();
        let port = file.entry("port").unwrap();
        assert!(port.is_list);
        assert_eq!(port.values, ["80", "443"]);
        assert_eq!(file.entry("payload").unwrap().values, ["false"]);
        assert_eq!(file.entry("header-limit").unwrap().values, ["131072"]);
        assert!(file.entry("listen").is_none());
    }
}
