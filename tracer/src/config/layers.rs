//! The layers of the configuration: for each key, the flag, else the variable, else the file.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Invalid;
use super::file::{ConfigFile, Entry};
use crate::cli::SourceArgs;

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

pub(super) fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Turns a value's text into its type, or says why not.
type Read<T> = fn(&str) -> Result<T, String>;

/// Environment and file; the flags come with each question.
pub(super) struct Layers<'a> {
    env: Environment<'a>,
    file: Option<ConfigFile>,
}

/// The layer that a value comes from, as an error names it.
enum Place<'a> {
    Flag(&'a str),
    Variable(&'a str),
    File(&'a str, &'a Entry),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{key}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, entry) => write!(f, "{path}:{}: {}", entry.line, entry.key),
        }
    }
}

impl<'a> Layers<'a> {
    /// Reads the configuration file, if one is named.
    pub(super) fn open(args: &SourceArgs, env: Environment<'a>) -> Result<Self, Invalid> {
        let named = args.config.clone().or_else(|| variable(env, "config").map(|(_, value)| PathBuf::from(value)));
        Ok(Self { env, file: named.map(|path| ConfigFile::read(&path)).transpose()? })
    }

    /// A key with one value.
    pub(super) fn one<T>(&self, key: &str, typed: Option<&str>, read: Read<T>) -> Result<Option<T>, Invalid> {
        if typed.is_some() {
            return flag(key, typed, read);
        }
        if let Some((name, value)) = self.variable_text(key)? {
            return checked(&Place::Variable(&name), &value, read).map(Some);
        }
        let Some((path, entry)) = self.entry(key) else { return Ok(None) };
        let place = Place::File(path, entry);
        checked(&place, one_value(&place, entry)?, read).map(Some)
    }

    /// A key that may be repeated; a layer replaces the list of the layer below.
    pub(super) fn list<T>(&self, key: &str, typed: &[String], read: Read<T>) -> Result<Vec<T>, Invalid> {
        if !typed.is_empty() {
            return typed.iter().map(|text| checked(&Place::Flag(key), text, read)).collect();
        }
        if let Some((name, value)) = self.variable_text(key)? {
            let place = Place::Variable(&name);
            return value.split(',').map(|text| checked(&place, text.trim(), read)).collect();
        }
        let Some((path, entry)) = self.entry(key) else { return Ok(Vec::new()) };
        entry.values.iter().map(|text| checked(&Place::File(path, entry), text, read)).collect()
    }

    /// A key that is a path, which need not be text.
    pub(super) fn path(&self, key: &str, typed: Option<&Path>) -> Result<Option<PathBuf>, Invalid> {
        if let Some(path) = typed {
            return full(&Place::Flag(key), path.to_owned()).map(Some);
        }
        if let Some((_, value)) = variable(self.env, key) {
            return Ok(Some(PathBuf::from(value)));
        }
        let Some((path, entry)) = self.entry(key) else { return Ok(None) };
        let place = Place::File(path, entry);
        full(&place, PathBuf::from(one_value(&place, entry)?)).map(Some)
    }

    fn variable_text(&self, key: &str) -> Result<Option<(String, String)>, Invalid> {
        let Some((name, value)) = variable(self.env, key) else { return Ok(None) };
        match value.into_string() {
            Ok(text) => Ok(Some((name, text))),
            Err(raw) => Err(Invalid::new(format!("{name}: {raw:?} is not text (invalid UTF-8)"))),
        }
    }

    fn entry(&self, key: &str) -> Option<(&str, &Entry)> {
        let file = self.file.as_ref()?;
        Some((file.name.as_str(), file.entry(key)?))
    }
}

/// A value that only a flag can give.
pub(super) fn flag<T>(key: &str, typed: Option<&str>, read: Read<T>) -> Result<Option<T>, Invalid> {
    typed.map(|text| checked(&Place::Flag(key), text, read)).transpose()
}

/// `read-timeout` is `TRACER_READ_TIMEOUT`; an empty variable is none.
fn variable(env: Environment<'_>, key: &str) -> Option<(String, OsString)> {
    let name = format!("TRACER_{}", key.to_ascii_uppercase().replace('-', "_"));
    let value = env(&name).filter(|value| !value.is_empty())?;
    Some((name, value))
}

fn checked<T>(place: &Place<'_>, text: &str, read: Read<T>) -> Result<T, Invalid> {
    read(text).map_err(|why| Invalid::new(format!("{place}: {why}")))
}

fn full(place: &Place<'_>, path: PathBuf) -> Result<PathBuf, Invalid> {
    if path.as_os_str().is_empty() { Err(Invalid::new(format!("{place}: the path is empty"))) } else { Ok(path) }
}

fn one_value<'e>(place: &Place<'_>, entry: &'e Entry) -> Result<&'e str, Invalid> {
    match entry.values.as_slice() {
        [value] if !entry.is_list => Ok(value),
        _ => Err(Invalid::new(format!("{place}: takes one value, not a list"))),
    }
}
