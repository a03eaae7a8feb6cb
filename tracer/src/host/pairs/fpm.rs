//! php-fpm's pools, by its configuration.

use std::time::Duration;

use super::super::servers::idle::Value;
use super::super::servers::target::At;
use super::super::servers::tree::{Tree, join, parent};
use super::super::servers::unit::time;

/// Its defaults.
const BACKLOG: u32 = 511;
/// Pools, and files, that are read.
const POOLS: usize = 200;

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) at: Option<At>,
    pub(super) max_children: Option<Value<u32>>,
    pub(super) backlog: Value<u32>,
    /// Zero: none.
    pub(super) terminate: Value<Duration>,
}

/// The configuration that a master names in its title: `php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)`.
pub(super) fn config_of(title: &str) -> Option<&str> {
    title.trim_end_matches(['\0', ' ']).strip_prefix("php-fpm: master process (")?.strip_suffix(')')
}

/// The pools of this configuration and the files that it includes.
pub(super) fn load(tree: &Tree, path: &str) -> Vec<Pool> {
    let mut pools = Vec::new();
    let Ok(text) = tree.read(path) else { return pools };
    read(path, &text, &mut pools);
    for pattern in included(&text) {
        for path in tree.glob(&join(parent(path), pattern)).into_iter().take(POOLS) {
            if let Ok(text) = tree.read(&path) {
                read(&path, &text, &mut pools);
            }
        }
    }
    pools
}

/// Lines that set something: number, name, value.
fn settings(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    (1..).zip(text.lines()).filter_map(|(number, line)| {
        let line = line.split(';').next()?.trim();
        let (name, value) = line.split_once('=')?;
        Some((number, name.trim(), value.trim().trim_matches('"')))
    })
}

fn included(text: &str) -> impl Iterator<Item = &str> {
    settings(text).filter(|(_, name, _)| *name == "include").map(|(_, _, value)| value)
}

/// Adds the pools of one file.
fn read(path: &str, text: &str, pools: &mut Vec<Pool>) {
    let heads = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let name = line.trim().strip_prefix('[')?.split(']').next()?;
        Some((number, name))
    });
    let heads: Vec<(usize, &str)> = heads.collect();
    for (at, &(from, name)) in heads.iter().enumerate() {
        if name == "global" || pools.len() == POOLS {
            continue;
        }
        let to = heads.get(at + 1).map_or(usize::MAX, |(line, _)| *line);
        let mut pool = Pool {
            name: name.to_owned(),
            at: None,
            max_children: None,
            backlog: Value::default(BACKLOG),
            terminate: Value::default(Duration::ZERO),
        };
        for (number, key, value) in settings(text).filter(|(number, ..)| (from..to).contains(number)) {
            let place = Some(format!("{path}:{number}"));
            match key {
                "listen" => pool.at = listen(&value.replace("$pool", name)),
                "pm.max_children" => {
                    pool.max_children = value.parse().ok().map(|value| Value { value, place });
                }
                "listen.backlog" => {
                    // -1: as many as the kernel allows.
                    let value =
                        value.parse::<i64>().ok().map_or(BACKLOG, |value| u32::try_from(value).unwrap_or(u32::MAX));
                    pool.backlog = Value { value, place };
                }
                "request_terminate_timeout" => {
                    if let Some(value) = time(value, 1000) {
                        pool.terminate = Value { value, place };
                    }
                }
                _ => {}
            }
        }
        pools.push(pool);
    }
}

/// `ADDRESS:PORT`, a port alone, or a path.
fn listen(value: &str) -> Option<At> {
    if value.starts_with('/') {
        return Some(At::Unix(value.to_owned()));
    }
    match value.parse::<u16>() {
        Ok(port) => Some(At::Tcp(std::net::Ipv4Addr::UNSPECIFIED.into(), port)),
        Err(_) => At::read(value, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WWW: &str = "; Start a new pool.\n[www]\nuser = www-data\nlisten = /run/php/php8.2-fpm.sock\n\
                       ;listen.backlog = 511\npm = dynamic\npm.max_children = 5 ; per 512 MB\n\
                       request_terminate_timeout = 2m\n[api]\nlisten = 127.0.0.1:9000\nlisten.backlog = 64\n\
                       pm.max_children = many\n[$x]\nlisten = /run/$pool.sock\nlisten.backlog = -1\n";

    #[test]
    fn pools_are_read_with_their_lines_and_comments_are_not() {
        let mut pools = Vec::new();
        read("/w.conf", WWW, &mut pools);
        let [www, api, odd] = &pools[..] else { panic!("{pools:?}") };
        assert_eq!(www.at, Some(At::Unix("/run/php/php8.2-fpm.sock".to_owned())));
        assert_eq!(www.max_children, Some(Value { value: 5, place: Some("/w.conf:7".to_owned()) }));
        assert_eq!(www.backlog, Value::default(511));
        assert_eq!(www.terminate, Value { value: Duration::from_secs(120), place: Some("/w.conf:8".to_owned()) });
        assert_eq!(api.at.as_ref().map(ToString::to_string).as_deref(), Some("127.0.0.1:9000"));
        assert_eq!((api.backlog.value, &api.max_children, api.terminate.value), (64, &None, Duration::ZERO));
        assert_eq!((odd.at.clone(), odd.backlog.value), (Some(At::Unix("/run/$x.sock".to_owned())), u32::MAX));
    }

    #[test]
    fn a_master_names_its_configuration_in_its_title() {
        let title = "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)";
        assert_eq!(config_of(title), Some("/etc/php/8.2/fpm/php-fpm.conf"));
        assert_eq!(config_of(&format!("{title}      \0")), Some("/etc/php/8.2/fpm/php-fpm.conf"));
        for title in ["php-fpm: pool www", "", "php-fpm: master process ("] {
            assert_eq!(config_of(title), None, "{title}");
        }
    }

    #[test]
    fn every_prefix_is_read() {
        for end in 0..=WWW.len() {
            read("/w.conf", &WWW[..end], &mut Vec::new());
        }
    }
}
