//! The TLS libraries of the servers: which of them sight inside TLS can see into, and how.

use std::collections::BTreeMap;

use super::finding::Finding;
use crate::probes::tls::libraries::{Libraries, Library, Refusal};

/// Processes that are looked at: a library of a hundred megabytes takes a tenth of a second.
const PROCESSES: usize = 64;
/// Processes that a finding names.
const NAMED: usize = 4;

/// A path, and the file's device and inode where it could be opened.
type Place = (String, Option<(u64, u64)>);

const NAME: &str = "inside TLS";

/// A finding for each TLS library that these processes have loaded. `is_on`: sight inside TLS is asked for.
pub(super) fn libraries(processes: &[(i32, String)], is_on: bool) -> Vec<Finding> {
    let mut looks = Libraries::default();
    // Containers may have different files at one path.
    let mut users: BTreeMap<Place, (Seen, Vec<&str>)> = BTreeMap::new();
    let mut blind: Vec<&str> = Vec::new();
    for (pid, name) in processes.iter().take(PROCESSES) {
        let mut found = Vec::new();
        match looks.of(u32::try_from(*pid).unwrap_or_default(), |library| found.push(library)) {
            Ok(()) => {
                for library in found {
                    let Some(seen) = Seen::of(&library) else { continue };
                    let file = library.file.as_ref().map(|(_, identity)| (identity.device, identity.inode));
                    users.entry((library.path, file)).or_insert_with(|| (seen, Vec::new())).1.push(name);
                }
            }
            Err(_) => blind.push(name),
        }
    }
    let mut findings: Vec<_> =
        users.into_iter().map(|((path, _), (seen, users))| seen.finding(&path, &users, is_on)).collect();
    if !blind.is_empty() {
        let advice = "run as root (CAP_SYS_PTRACE)";
        findings.push(Finding::unknown(
            NAME,
            format!("{}: what they have loaded can't be read", named(&blind)),
            advice,
        ));
    }
    findings
}

/// What was found in a file.
#[derive(Debug)]
enum Seen {
    /// A place to probe: library and version, and how it was found.
    Place(String),
    /// A TLS library in which no place is sure.
    Refused(String),
    /// A file that can't be read, and may be anything.
    Unreadable(String),
}

impl Seen {
    /// `None`: no TLS library that logs secrets.
    fn of(library: &Library) -> Option<Self> {
        Some(match &library.look.site {
            Ok(site) => {
                let cost = if site.emulated { "emulated: cheap" } else { "single-stepped: dear" };
                let (title, found_by, offset) = (site.title(), site.found_by(), site.offset);
                Self::Place(format!("{title}, found {found_by}, place {offset:#x} ({cost})"))
            }
            Err(why) if why.is_no_library() => return None,
            Err(Refusal::Unreadable(why)) => Self::Unreadable(why.clone()),
            Err(why) => Self::Refused(why.to_string()),
        })
    }

    fn finding(&self, path: &str, users: &[&str], is_on: bool) -> Finding {
        let who = named(users);
        match self {
            Self::Place(what) if is_on => Finding::ok(NAME, format!("{who}: {what}, in {path}")),
            Self::Place(what) => {
                Finding::ok(NAME, format!("{who}: {what}, in {path}; off: --tls-sight reads its failures"))
            }
            Self::Refused(why) => Finding::unknown(
                NAME,
                format!("{who}: {path} is not probed: {why}"),
                "its failures inside TLS are told without the request; --tls-keylog is another way to its secrets \
                 (docs/tls.md)",
            ),
            Self::Unreadable(why) => Finding::unknown(
                NAME,
                format!("{who}: {path} can't be read: {why}"),
                "run as root (CAP_CHECKPOINT_RESTORE, or CAP_SYS_ADMIN)",
            ),
        }
    }
}

/// The first of these processes, and how many more there are.
fn named(processes: &[&str]) -> String {
    let names = processes.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match processes.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::finding::Status,
        probes::tls::{
            libraries::Look,
            site::{self, NotFound, Shape, Site},
        },
    };

    fn library(site: Result<Site, Refusal>) -> Library {
        Library { path: "/lib/libssl.so.3".to_owned(), file: None, look: Look { site } }
    }

    fn openssl() -> Site {
        Site {
            offset: 0x3_a1db,
            more: Vec::new(),
            shape: Shape::NssKeylog,
            emulated: true,
            function: 0x3_a1c0,
            library: site::Library::OpenSsl3,
            version: String::new(),
            build_id: Vec::new(),
        }
    }

    fn finding(site: Result<Site, Refusal>, is_on: bool) -> Option<Finding> {
        Some(Seen::of(&library(site))?.finding("/lib/libssl.so.3", &["nginx[7]"], is_on))
    }

    #[test]
    fn a_library_is_named_with_its_place_and_how_that_was_found() {
        let on = finding(Ok(openssl()), true).unwrap();
        let seen = "nginx[7]: OpenSSL 3, found by the labels of its key log, place 0x3a1db (emulated: cheap), in \
                    /lib/libssl.so.3";
        assert_eq!((on.status, on.seen.as_str()), (Status::Ok, seen));
        let off = finding(Ok(openssl()), false).unwrap();
        assert_eq!((off.status, off.seen), (Status::Ok, format!("{seen}; off: --tls-sight reads its failures")));
    }

    #[test]
    fn a_file_without_a_place_says_why_and_one_without_a_library_nothing() {
        let old = finding(Err(Refusal::NotFound(NotFound::OldGo)), true).unwrap();
        assert_eq!(old.status, Status::Unknown);
        assert!(old.seen.ends_with("is not probed: built by Go 1.16 or older, which passes arguments on the stack"));
        assert!(old.advice.is_some_and(|advice| advice.contains("--tls-keylog")));
        let shut = finding(Err(Refusal::Unreadable("Permission denied".to_owned())), true).unwrap();
        assert_eq!(shut.seen, "nginx[7]: /lib/libssl.so.3 can't be read: Permission denied");
        assert_eq!(finding(Err(Refusal::NotFound(NotFound::NoLibrary)), true), None);
    }

    #[test]
    fn of_many_processes_the_first_are_named() {
        assert_eq!(named(&["a[1]"]), "a[1]");
        assert_eq!(named(&["a[1]", "a[2]", "a[3]", "a[4]", "a[5]", "a[6]"]), "a[1], a[2], a[3], a[4] and 2 more");
    }

    #[test]
    fn a_process_that_is_gone_can_not_be_read() {
        let findings = libraries(&[(i32::MAX, "gone[2147483647]".to_owned())], true);
        let seen: Vec<_> = findings.iter().map(|finding| (finding.status, finding.seen.as_str())).collect();
        assert_eq!(seen, [(Status::Unknown, "gone[2147483647]: what they have loaded can't be read")]);
    }
}
