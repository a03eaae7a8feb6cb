//! `tracer ranges update`, checked: where the list comes from, where it goes, and who is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{self, Environment, Layers};
use super::{Invalid, RangeSource, sources, value};
use crate::cli::{RangesArgs, UpdateArgs};

/// Cloudflare's published lists.
const URLS: [&str; 2] = ["https://www.cloudflare.com/ips-v4", "https://www.cloudflare.com/ips-v6"];
/// Time for each address, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most addresses of one update.
const MAX_URLS: usize = 16;

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file: nothing is fetched.
    File(PathBuf),
    /// Addresses, all `https`.
    Urls(Vec<String>),
}

/// Which process is told to reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    Pid(i32),
    PidFile(PathBuf),
}

/// `tracer ranges update`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateConfig {
    pub origin: Origin,
    /// `None`: standard output.
    pub output: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
    pub reload: Option<Reload>,
}

impl RangesArgs {
    /// # Errors
    /// [`Invalid`], for the first value that can't be. The range file itself need not be there, or right.
    pub fn check_update(&self, typed: &UpdateArgs) -> Result<UpdateConfig, Invalid> {
        self.check_update_in(typed, &layers::process_environment)
    }

    fn check_update_in(&self, typed: &UpdateArgs, env: Environment<'_>) -> Result<UpdateConfig, Invalid> {
        let (ranges, _) = sources(&Layers::open(&self.source, env)?, &self.source)?;
        let range_file = match ranges {
            RangeSource::File(path) => Some(path),
            RangeSource::BuiltIn => None,
        };
        let config = UpdateConfig {
            origin: match &typed.file {
                Some(path) => Origin::File(path.clone()),
                None => Origin::Urls(urls(&typed.url)?),
            },
            output: typed.output.clone().or(range_file),
            ca_file: typed.ca_file.clone(),
            timeout: layers::flag("timeout", typed.timeout.as_deref(), value::duration)?.unwrap_or(TIMEOUT),
            reload: typed.reload_pid.as_deref().map(reload).transpose()?,
        };
        if config.reload.is_some() && config.output.is_none() {
            return Err(Invalid::new(
                "--reload-pid: nothing changes for a running tracer without --output or --ranges",
            ));
        }
        Ok(config)
    }
}

fn urls(typed: &[String]) -> Result<Vec<String>, Invalid> {
    if typed.len() > MAX_URLS {
        return Err(Invalid::new(format!("--url: {} are more than {MAX_URLS}", typed.len())));
    }
    if let Some(url) = typed.iter().find(|url| !url.starts_with("https://")) {
        return Err(Invalid::new(format!("--url: {url:?} does not begin with https:// (for a file there is --file)")));
    }
    let typed: Vec<_> = typed.to_vec();
    Ok(if typed.is_empty() { URLS.map(str::to_owned).to_vec() } else { typed })
}

/// A number is a process, anything else a file.
fn reload(typed: &Path) -> Result<Reload, Invalid> {
    let text = typed.to_string_lossy();
    match text.parse::<i64>() {
        Err(_) => Ok(Reload::PidFile(typed.to_owned())),
        Ok(number) => match i32::try_from(number) {
            Ok(pid) if pid > 0 => Ok(Reload::Pid(pid)),
            _ => Err(Invalid::new(format!("--reload-pid: {text} is not a process id"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, RangesAction};

    fn check(line: &str, ranges: Option<&str>) -> Result<UpdateConfig, String> {
        let words = ["tracer", "ranges", "update"].into_iter().chain(line.split_whitespace());
        let Command::Ranges(args) = Cli::try_parse_from(words).map_err(|error| error.to_string())?.command else {
            panic!("not ranges")
        };
        let Some(RangesAction::Update(typed)) = &args.action else { panic!("not update") };
        let env = |name: &str| ranges.filter(|_| name == "TRACER_RANGES").map(Into::into);
        args.check_update_in(typed, &env).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_the_published_lists_go_to_standard_output() {
        let config = check("", None).unwrap();
        assert_eq!(config.origin, Origin::Urls(URLS.map(str::to_owned).to_vec()));
        assert_eq!((config.output, config.reload, config.timeout), (None, None, TIMEOUT));
    }

    #[test]
    fn output_is_the_range_file_unless_told_otherwise() {
        assert_eq!(check("", Some("/nowhere/ips")).unwrap().output, Some("/nowhere/ips".into()));
        assert_eq!(check("--output x", Some("/nowhere/ips")).unwrap().output, Some("x".into()));
        assert_eq!(check("--ranges y", Some("/nowhere/ips")).unwrap().output, Some("y".into()));
    }

    #[test]
    fn a_number_is_a_process_and_anything_else_a_file() {
        let reload = |text: &str| check(&format!("--output x --reload-pid={text}"), None).map(|config| config.reload);
        assert_eq!(reload("42"), Ok(Some(Reload::Pid(42))));
        assert_eq!(reload("/run/x.pid"), Ok(Some(Reload::PidFile("/run/x.pid".into()))));
        for text in ["0", "-1", "99999999999"] {
            assert!(reload(text).unwrap_err().contains("is not a process id"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(check("--url http://x/ips", None).unwrap_err().contains("does not begin with https://"));
        assert!(check("--file a --url https://x", None).unwrap_err().contains("cannot be used with"));
        assert!(check("--reload-pid 42", None).unwrap_err().contains("without --output or --ranges"));
        assert!(check("--timeout soon", None).unwrap_err().contains("--timeout: \"soon\" is not a duration"));
    }
}
