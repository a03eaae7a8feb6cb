//! `xtask libraries`: TLS libraries from public registries, some 1 GB, in which the finder of key-log functions has to
//! find the known place.

mod fetch;
mod golang;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use toml::{Table, Value};

use crate::setup::{self, For};
use crate::{build, sh};
use fetch::Registries;

/// The packages, the files in them and what is known of these.
const TABLE: &str = "tracer/tests/tls_sites/libraries.toml";
/// Names the folder of libraries to the test.
const FOLDER: &str = "TRACER_LIBRARIES";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only get the libraries, or build them, whose names contain this
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    /// What the file is called here.
    name: String,
    package: Package,
    /// Its path in the package.
    file: String,
    sha256: String,
}

/// A package in its registry's own words for name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Package {
    Debian(String),
    PyPi(String),
    Npm(String),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(For::Libraries)?;
    let text = fs::read_to_string(sh::repo().join(TABLE)).with_context(|| format!("reading {TABLE}"))?;
    let table: Table = text.parse().with_context(|| format!("reading {TABLE}"))?;
    let dir = build::target_dir()?.join("libraries");
    let files = dir.join("files");
    fs::create_dir_all(&files).with_context(|| format!("making {}", files.display()))?;
    let registries = Registries::new(dir.join("packages"));
    let is_wanted = |name: &str| args.name.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    for pin in pins(&table, "library", "name")?.iter().filter(|pin| is_wanted(&pin.name)) {
        let to = files.join(&pin.name);
        if sha256(&to).is_none_or(|sum| sum != pin.sha256) {
            sh::heading(&format!("{}: {}", pin.name, pin.package));
            let unpacked = registries.get(&pin.package)?;
            fs::copy(unpacked.join(&pin.file), &to)
                .with_context(|| format!("taking {} out of its package", pin.file))?;
            check(pin, &to)?;
            fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
        }
    }
    for pin in pins(&table, "go", "version")?.iter().filter(|pin| is_wanted(&golang::name(&pin.name, "plain"))) {
        if !golang::is_built(&files, &pin.name) {
            sh::heading(&format!("Go {}: {}", pin.name, pin.package));
            let unpacked = registries.get(&pin.package)?;
            check(pin, &unpacked.join(&pin.file))?;
            golang::build(&unpacked.join("go"), &dir, &files, &pin.name)?;
            fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
        }
    }
    sh::heading("the sites in all of them");
    let test = ["test", "--package=tracer", "--test=tls_sites", "--", "--nocapture"];
    sh::run(sh::command("cargo", &test).env(FOLDER, &files))
}

/// The entries of one kind, each under the name that the member `name` gives.
fn pins(table: &Table, kind: &str, name: &str) -> Result<Vec<Pin>> {
    let entries = table.get(kind).and_then(Value::as_array).with_context(|| format!("no [[{kind}]] in {TABLE}"))?;
    entries.iter().map(|entry| pin(entry, name)).collect()
}

fn pin(entry: &Value, name: &str) -> Result<Pin> {
    let text = |member: &str| entry.get(member).and_then(Value::as_str).map(str::to_owned);
    let needed = |member: &str| text(member).with_context(|| format!("an entry without {member} in {TABLE}"));
    let package = match (text("debian"), text("pypi"), text("npm")) {
        (Some(pin), None, None) => Package::Debian(pin),
        (None, Some(pin), None) => Package::PyPi(pin),
        (None, None, Some(pin)) => Package::Npm(pin),
        _ => bail!("{} is not of one registry in {TABLE}", needed(name)?),
    };
    Ok(Pin { name: needed(name)?, package, file: needed("file")?, sha256: needed("sha256")? })
}

fn check(pin: &Pin, file: &Path) -> Result<()> {
    let sum = sha256(file).with_context(|| format!("no SHA-256 of {}", file.display()))?;
    ensure!(sum == pin.sha256, "{} in {} is another file than {TABLE} says: SHA-256 {sum}", pin.file, pin.package);
    Ok(())
}

/// `None`: there is no such file.
fn sha256(file: &Path) -> Option<String> {
    let told = sh::try_output(Command::new("sha256sum").arg(file))?;
    told.split_whitespace().next().map(|sum| sum.trim_start_matches('\\').to_owned())
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian(pin) => write!(f, "{pin} from Debian"),
            Self::PyPi(pin) => write!(f, "{pin} from PyPI"),
            Self::Npm(pin) => write!(f, "{pin} from npm"),
        }
    }
}

impl Package {
    /// A folder's name of its own.
    fn folder(&self) -> PathBuf {
        self.to_string().replace(|c: char| !c.is_ascii_alphanumeric() && !".-+".contains(c), "_").into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_can_be_read_and_names_each_file_once() {
        let table: Table = fs::read_to_string(sh::repo().join(TABLE)).unwrap().parse().unwrap();
        let pins = [pins(&table, "library", "name").unwrap(), pins(&table, "go", "version").unwrap()].concat();
        let names: BTreeSet<_> = pins.iter().map(|pin| &pin.name).collect();
        assert_eq!(names.len(), pins.len());
        for pin in pins {
            assert!(pin.sha256.len() == 64 && !pin.file.starts_with('/') && !pin.file.contains(".."), "{pin:?}");
        }
    }

    #[test]
    fn an_entry_without_or_with_two_registries_is_an_error() {
        let entry = |text: &str| pin(&Value::Table(text.parse().unwrap()), "name");
        let rest = "name = 'a'\nfile = 'f'\nsha256 = 's'\n";
        assert!(entry(rest).is_err());
        assert!(entry(&format!("{rest}npm = 'a@1'\npypi = 'a==1'\n")).is_err());
        assert_eq!(entry(&format!("{rest}npm = 'a@1'\n")).unwrap().package, Package::Npm("a@1".to_owned()));
    }
}
