//! Which lines of a configuration httpd passes over: `<IfDefine>`, `<IfModule>`, `<IfFile>`; and what `Define` names.
//! <https://httpd.apache.org/docs/2.4/mod/core.html>

use std::collections::{BTreeMap, BTreeSet};

/// Compiled into every httpd, or nearly so.
const BUILT_IN: [&str; 16] = [
    "core.c",
    "core_module",
    "http_core.c",
    "http_module",
    "mod_so.c",
    "so_module",
    "mod_log_config.c",
    "log_config_module",
    "mod_logio.c",
    "logio_module",
    "mod_unixd.c",
    "unixd_module",
    "mod_version.c",
    "version_module",
    "mod_watchdog.c",
    "watchdog_module",
];

/// Longest value that a name is known with, in bytes: names that hold names grow fast.
const LONGEST: usize = 256;

/// What has been read so far, as conditions ask for it.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    defined: BTreeMap<String, String>,
    modules: BTreeSet<String>,
    /// The open sections, and whether each one's condition holds.
    open: Vec<bool>,
}

impl Conditions {
    /// With what the command line defines (`-D NAME`).
    pub(super) fn new(defined: &[&str]) -> Self {
        let defined = defined.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Self { defined, ..Self::default() }
    }

    /// Takes a line (its first word in lower case) that belongs to a condition, or stands where httpd does not read.
    /// `exists` answers for files.
    pub(super) fn take(&mut self, first: &str, args: &[String], exists: impl Fn(&str) -> bool) -> bool {
        let arg = |at: usize| args.get(at).map(|arg| arg.trim_end_matches('>')).unwrap_or_default();
        let (negated, asked) = arg(0).strip_prefix('!').map_or((false, arg(0)), |asked| (true, asked));
        let holds = match first {
            "<ifdefine" => self.defined.contains_key(asked),
            "<ifmodule" => BUILT_IN.contains(&asked) || self.modules.contains(asked),
            "<iffile" => exists(asked),
            // Which version runs is not looked at; nearly all do what such a section asks.
            "<ifversion" => !negated,
            "</ifdefine>" | "</ifmodule>" | "</iffile>" | "</ifversion>" => {
                self.open.pop();
                return true;
            }
            _ if self.open.contains(&false) => return true,
            "define" => {
                let value = args.get(1).map(|value| self.filled_in(value)).unwrap_or_default();
                if value.len() <= LONGEST {
                    self.defined.insert(arg(0).to_owned(), value);
                }
                return true;
            }
            "undefine" => {
                self.defined.remove(arg(0));
                return true;
            }
            "loadmodule" => {
                self.load(arg(0), arg(1));
                return true;
            }
            _ => return false,
        };
        self.open.push(holds != negated);
        true
    }

    fn load(&mut self, name: &str, path: &str) {
        self.modules.insert(name.to_owned());
        let file = path.rsplit('/').next().unwrap_or_default();
        let source = file.strip_suffix(".so").unwrap_or(file);
        // The sources of the processing modules are named without the prefix.
        self.modules.insert(format!("{}.c", source.strip_prefix("mod_mpm_").unwrap_or(source)));
    }

    /// With the values of the names that were defined in place of `${NAME}`.
    pub(super) fn filled_in(&self, value: &str) -> String {
        let mut parts = value.split("${");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('}').and_then(|(name, rest)| Some((self.defined.get(name)?, rest))) {
                Some((known, rest)) => out.extend([known, rest]),
                None => out.extend(["${", part]),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_over(text: &str) -> Vec<&str> {
        let mut conditions = Conditions::new(&["FOREGROUND"]);
        let lines = text.lines().filter(|line| {
            let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
            let plain = !line.starts_with(['<', 'L', 'D', 'U']);
            conditions.take(&words[0].to_ascii_lowercase(), &words[1..], |path| path == "/there") && plain
        });
        lines.collect()
    }

    #[test]
    fn lines_in_sections_that_do_not_hold_are_passed_over() {
        assert_eq!(passed_over("<IfDefine NOPE>\na\n</IfDefine>\nb"), ["a"]);
        assert_eq!(passed_over("<IfDefine FOREGROUND>\na\n</IfDefine>\n<IfDefine !FOREGROUND>\nb\n</IfDefine>"), ["b"]);
        let nested = "<IfModule !mod_x.c>\na\n<IfModule mod_y.c>\nb\n</IfModule>\nc\n</IfModule>\nd";
        assert_eq!(passed_over(nested), ["b"]);
        let inner = "<IfModule mod_y.c>\n<IfModule !mod_x.c>\na\n</IfModule>\nb\n</IfModule>\nc";
        assert_eq!(passed_over(inner), ["a", "b"]);
        let modules = "LoadModule mpm_event_module modules/mod_mpm_event.so\nLoadModule ssl_module \
                       /m/mod_ssl.so\n<IfModule event.c>\na\n</IfModule>\n<IfModule \
                       mpm_event_module>\nb\n</IfModule>\n<IfModule mod_ssl.c>\nc\n</IfModule>\n<IfModule \
                       core.c>\nd\n</IfModule>\n<IfModule prefork.c>\ne\n</IfModule>";
        assert_eq!(passed_over(modules), ["e"]);
        assert_eq!(passed_over("<IfFile /there>\na\n</IfFile>\n<IfFile /gone>\nb\n</IfFile>"), ["b"]);
        assert_eq!(passed_over("<IfVersion !>= 2.4>\na\n</IfVersion>\n</IfModule>\nb"), [""; 0]);
        assert_eq!(
            passed_over("Define N\n<IfDefine N>\na\n</IfDefine>\nUnDefine N\n<IfDefine N>\nb\n</IfDefine>"),
            ["b"]
        );
        // A definition that stands in a section that does not hold defines nothing.
        assert_eq!(passed_over("<IfDefine NO>\nDefine N\n</IfDefine>\n<IfDefine N>\na\n</IfDefine>"), ["a"]);
    }

    #[test]
    fn names_are_filled_in_where_they_are_known() {
        let mut conditions = Conditions::default();
        for (name, value) in [("A", "4"), ("B", "${A}")] {
            conditions.take("define", &[name.to_owned(), value.to_owned()], |_| false);
        }
        for (value, expected) in [
            ("${A}", "4"),
            ("x${A}y${A}", "x4y4"),
            ("${NO}${A}", "${NO}4"),
            ("${A", "${A"),
            ("$A", "$A"),
            ("${B}", "4"),
        ] {
            assert_eq!(conditions.filled_in(value), expected, "{value}");
        }
        for _ in 0..64 {
            conditions.take("define", &["A".to_owned(), "${A}${A}".to_owned()], |_| false);
        }
        assert_eq!(conditions.filled_in("${A}"), "4".repeat(LONGEST));
    }
}
