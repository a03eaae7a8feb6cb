//! Processes that may come to hold connections of the edge, found before they do: the children of servers and of their
//! masters, and of the host's first process. What /proc says of a process has to be read while it lives, and a worker
//! may die of its first request.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The host's first process: whose children services are.
const INIT: u32 = 1;
/// Parents whose children are looked at.
const MOST_PARENTS: usize = 256;
/// Children that are told of at once.
const MOST_NEW: usize = 256;

/// What the last look found.
#[derive(Debug, Default)]
pub struct Family {
    /// Parents of servers.
    parents: BTreeMap<u32, u32>,
    /// Children, and whether they have been told of.
    children: BTreeMap<u32, bool>,
}

impl Family {
    /// Looks at the children of these processes, and at those of their parents. Gives those that were there at the last
    /// look already: a younger one may be about to become another program.
    pub fn grown(&mut self, servers: &BTreeSet<u32>) -> Vec<u32> {
        self.parents.retain(|server, _| servers.contains(server));
        for server in servers.iter().take(MOST_PARENTS) {
            if !self.parents.contains_key(server)
                && let Some(parent) = parent(*server)
            {
                self.parents.insert(*server, parent);
            }
        }
        let parents: BTreeSet<u32> = self.parents.values().chain(servers).copied().chain([INIT]).collect();
        let children: BTreeSet<u32> = parents.into_iter().take(MOST_PARENTS).flat_map(children).collect();
        self.told(&children)
    }

    /// Those of the children that the last look had found too, each once.
    fn told(&mut self, now: &BTreeSet<u32>) -> Vec<u32> {
        let mut grown = Vec::new();
        let before = std::mem::take(&mut self.children);
        for child in now {
            let told = match before.get(child) {
                Some(true) => true,
                Some(false) if grown.len() < MOST_NEW => {
                    grown.push(*child);
                    true
                }
                _ => false,
            };
            self.children.insert(*child, told);
        }
        grown
    }
}

/// Behind the name, which stands in brackets and may hold any byte: state, then the parent.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok().filter(|parent| *parent != 0)
}

/// Children of the process's first thread, where the kernel lists them.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// Ends with the test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ended = self.0.kill().and_then(|()| self.0.wait());
        }
    }

    #[test]
    fn a_child_is_told_of_once_and_only_when_it_is_there_for_the_second_time() {
        let mut family = Family::default();
        let pids = |pids: &[u32]| pids.iter().copied().collect::<BTreeSet<_>>();
        assert!(family.told(&pids(&[5])).is_empty());
        assert_eq!(family.told(&pids(&[5, 6])), [5]);
        assert_eq!(family.told(&pids(&[5, 6])), [6]);
        assert!(family.told(&pids(&[6])).is_empty());
        assert!(family.told(&pids(&[5])).is_empty(), "another process with that number");
        assert_eq!(family.told(&pids(&[5])), [5]);
    }

    #[test]
    fn many_are_told_of_over_several_looks() {
        let mut family = Family::default();
        let all: BTreeSet<u32> = (1..600).collect();
        let told: Vec<_> = (0..5).map(|_| family.told(&all).len()).collect();
        assert_eq!(told, [0, MOST_NEW, MOST_NEW, 599 - 2 * MOST_NEW, 0]);
    }

    #[test]
    fn this_process_has_a_parent_and_its_children_are_siblings_of_one_another() {
        let me = std::process::id();
        assert!(parent(me).is_some());
        let child = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
        let of_a_thread = parent(child.0.id());
        assert_eq!(of_a_thread, Some(me));
        assert_eq!(parent(u32::MAX), None);
        assert!(children(u32::MAX).is_empty());
    }
}
