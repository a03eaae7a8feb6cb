//! What listens behind a server: which program, its settings, and how busy it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::servers::idle::Value;
use super::super::servers::target::At;
use super::super::servers::tree::Tree;
use super::fpm::{self, Pool};
use super::gunicorn;
use super::local::Socket;

/// An application and the socket that it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) name: String,
    pub(super) socket: Socket,
    pub(super) pool: Option<Pool>,
    /// The setting by which it ends its own requests, and the time.
    pub(super) own: Option<(&'static str, Value<Duration>)>,
}

/// Looks at the process that holds this socket, the first of them.
pub(super) fn look(socket: Socket, at: &At, pid: Option<i32>) -> Application {
    let Some(pid) = pid else {
        return Application { name: "a process that is not visible".to_owned(), socket, pool: None, own: None };
    };
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = format!("{}[{pid}]", comm.trim_end());
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    let tree = Tree::open(Path::new(&format!("/proc/{pid}/root"))).ok();
    let mut application = Application { name, socket, pool: None, own: None };
    let Some(tree) = tree else { return application };
    if let Some(path) = fpm::config_of(&command) {
        application.pool = fpm::load(&tree, path).into_iter().find(|pool| serves(pool, at));
        application.own = application.pool.as_ref().and_then(|pool| {
            (!pool.terminate.value.is_zero()).then(|| ("request_terminate_timeout", pool.terminate.clone()))
        });
    } else if let Some(args) = gunicorns(&command) {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let found = gunicorn::timeout(&args, &cwd.to_string_lossy(), &tree);
        application.own = found.map(|value| ("--timeout", value));
    }
    application
}

/// Whether this pool listens there.
fn serves(pool: &Pool, at: &At) -> bool {
    match (&pool.at, at) {
        (Some(At::Tcp(own, port)), At::Tcp(addr, wanted)) => {
            port == wanted && (own.is_unspecified() || own.to_canonical() == addr.to_canonical())
        }
        (own, at) => own.as_ref() == Some(at),
    }
}

/// The words after the program's name, where a command line is gunicorn's. (As a title: `gunicorn: master [app]`, which
/// has taken the words away.)
fn gunicorns(command: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = command.trim_end_matches('\0').split('\0').collect();
    let at = words.iter().take(3).position(|word| word.rsplit('/').next() == Some("gunicorn"))?;
    Some(words[at + 1..].iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gunicorn_is_known_by_its_program_with_or_without_an_interpreter() {
        let args = |command: &str| gunicorns(command).map(|args| args.join(" "));
        assert_eq!(args("/usr/bin/python3\0/usr/bin/gunicorn\0-t\090\0app:app\0").as_deref(), Some("-t 90 app:app"));
        assert_eq!(args("gunicorn\0app\0").as_deref(), Some("app"));
        for other in ["gunicorn: master [app]\0", "nginx\0", "", "vi\0a\0b\0gunicorn\0"] {
            assert_eq!(args(other), None, "{other}");
        }
    }
}
