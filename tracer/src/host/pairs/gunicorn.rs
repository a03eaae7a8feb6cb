//! gunicorn's worker timeout, by its command line or its configuration.

use std::time::Duration;

use super::super::servers::idle::Value;
use super::super::servers::line::lines;
use super::super::servers::tree::{Tree, join};

/// Its default.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a worker may take for a request; `None`: the timeout is not about requests (threads, event loops), or off.
/// `args`: the words after the program's name.
pub(super) fn timeout(args: &[String], cwd: &str, tree: &Tree) -> Option<Value<Duration>> {
    let option = |short: &str, long: &str| option(args, short, long);
    let file = option("-c", "--config").map_or("gunicorn.conf.py", |path| path.trim_start_matches("file:"));
    let path = join(cwd, file);
    let config = tree.read(&path).unwrap_or_default();
    let set = |name| assigned(&path, &config, name);
    let class = option("-k", "--worker-class").map(str::to_owned).or_else(|| Some(set("worker_class")?.0));
    if class.is_some_and(|class| class != "sync")
        || option("--threads", "--threads").is_some()
        || set("threads").is_some()
    {
        return None;
    }
    let value = match option("-t", "--timeout") {
        Some(text) => Value { value: seconds(text)?, place: Some("its command line".to_owned()) },
        None => match set("timeout") {
            Some((text, place)) => Value { value: seconds(&text)?, place: Some(place) },
            None => Value::default(TIMEOUT),
        },
    };
    (!value.value.is_zero()).then_some(value)
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

/// The last value of an option.
fn option<'a>(args: &'a [String], short: &str, long: &str) -> Option<&'a str> {
    let mut found = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == short || arg == long {
            found = args.next().map(String::as_str).or(found);
        } else if let Some(value) = arg.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value);
        } else if let Some(value) = arg.strip_prefix(short).filter(|_| short.len() == 2 && !arg.starts_with("--")) {
            found = Some(value);
        }
    }
    found
}

/// What a line of Python assigns to this name, where it is a number or a string, and where it stands.
fn assigned(path: &str, text: &str, name: &str) -> Option<(String, String)> {
    lines(text).into_iter().rev().find_map(|(number, line)| {
        let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        let value = value.split('#').next()?.trim().trim_matches(['"', '\'']);
        let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_plain && !value.is_empty()).then(|| (value.to_owned(), format!("{path}:{number}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these arguments with this `gunicorn.conf.py`.
    fn told(args: &[&str], config: &str) -> Option<(u64, Option<String>)> {
        let root =
            std::env::temp_dir().join(format!("tracer-gunicorn-{}-{}", std::process::id(), args.len() + config.len()));
        std::fs::create_dir_all(root.join("srv")).unwrap();
        std::fs::write(root.join("srv/gunicorn.conf.py"), config).unwrap();
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let found = timeout(&args, "/srv", &Tree::open(&root).unwrap());
        std::fs::remove_dir_all(&root).unwrap();
        found.map(|found| (found.value.as_secs(), found.place))
    }

    #[test]
    fn the_command_line_beats_the_file_and_the_file_the_default() {
        let line = Some("its command line".to_owned());
        assert_eq!(told(&["app:app"], ""), Some((30, None)));
        assert_eq!(told(&["-t", "90", "app:app"], "timeout = 5"), Some((90, line.clone())));
        assert_eq!(told(&["--timeout=91", "a"], ""), Some((91, line.clone())));
        assert_eq!(told(&["-t92", "a", "b"], ""), Some((92, line)));
        let file = Some("/srv/gunicorn.conf.py:2".to_owned());
        assert_eq!(told(&["a", "b", "c", "d"], "workers = 2\ntimeout = 120  # s\n"), Some((120, file)));
    }

    #[test]
    fn a_timeout_that_is_not_about_requests_is_none() {
        assert_eq!(told(&["-k", "gevent", "a"], "x = 1"), None);
        assert_eq!(told(&["--threads", "4", "a"], "xy = 1"), None);
        assert_eq!(told(&["a"], "worker_class = 'uvicorn_worker'"), None);
        assert_eq!(told(&["-t", "0"], "abc = 1"), None);
        assert_eq!(told(&["-t", "soon"], "abcd = 1"), None);
    }
}
