//! The systemd unit as tests and packages need it: the capabilities that it grants, and a command that grants them
//! without systemd.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The unit, as it is shipped.
pub const TEXT: &str = include_str!("../../tracer/dist/systemd/tracer.service");
/// A user that owns nothing, as `DynamicUser=` makes one; from systemd's range.
pub const USER: u32 = 64_321;

/// Every value of a setting in `[Service]`, in the order of the file.
fn values<'a>(unit: &'a str, setting: &str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(setting)?.strip_prefix('='))
}

/// The capabilities that the unit's process has, as it names them (`CAP_BPF`).
///
/// # Errors
/// Where the ambient set, which is what an unprivileged user's process gets, is not the bounding set.
pub fn capabilities() -> Result<Vec<&'static str>> {
    let set = |setting: &'static str| -> Vec<&str> { values(TEXT, setting).flat_map(str::split_whitespace).collect() };
    let (ambient, bounding) = (set("AmbientCapabilities"), set("CapabilityBoundingSet"));
    ensure!(!ambient.is_empty(), "the unit grants no capability");
    ensure!(ambient == bounding, "the unit grants {ambient:?} and bounds {bounding:?}");
    Ok(ambient)
}

/// The command line that the unit starts.
#[must_use]
pub fn exec_start() -> Option<&'static str> {
    values(TEXT, "ExecStart").next()
}

/// Lets this process, and those that it starts, lock as much memory as the unit's may: before Linux 5.11 the tables
/// count as such.
///
/// # Errors
/// Where the unit sets a limit.
pub fn lift_memory_limit() -> Result<()> {
    ensure!(values(TEXT, "LimitMEMLOCK").eq(["infinity"]), "the unit limits locked memory");
    // Refused to a root of a mere container, say; a newer kernel does not ask.
    let _refused = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    Ok(())
}

/// What to put before a command line, as root, to run it as the unit's process runs: as a user that owns nothing, who
/// can gain no privilege, with these capabilities.
///
/// # Errors
/// Where the unit contradicts itself.
pub fn prefix() -> Result<Vec<String>> {
    let names = capabilities()?;
    let mut set = String::from("-all");
    for name in names {
        let name = name.strip_prefix("CAP_").with_context(|| format!("{name} is no capability"))?;
        set += &format!(",+{}", name.to_lowercase());
    }
    ensure!(values(TEXT, "NoNewPrivileges").eq(["yes"]), "the unit's process can gain privileges");
    let user = USER.to_string();
    let words = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"];
    let sets = [["--inh-caps", &set], ["--ambient-caps", &set], ["--bounding-set", &set]];
    Ok(words.into_iter().chain(sets.into_iter().flatten()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_stand_more_than_once_and_a_comment_is_none() {
        let unit = "[Service]\n# A=0\nA=1\nAB=2\nA=3\n";
        assert_eq!(values(unit, "A").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn the_unit_says_of_each_capability_what_it_is_for() {
        for name in capabilities().unwrap() {
            let reason = TEXT.lines().find_map(|line| line.strip_prefix("#   ")?.strip_prefix(name));
            assert!(reason.is_some_and(|reason| reason.trim().len() > 10), "{name}");
        }
    }

    #[test]
    fn the_prefix_grants_what_the_unit_grants() {
        let prefix = prefix().unwrap();
        let sets: Vec<_> = prefix.iter().filter(|word| word.starts_with("-all,")).collect();
        assert_eq!(sets.len(), 3);
        for name in capabilities().unwrap() {
            let word = format!("+{}", name.trim_start_matches("CAP_").to_lowercase());
            assert!(sets.iter().all(|set| set.split(',').any(|part| part == word)), "{word}");
        }
    }
}
