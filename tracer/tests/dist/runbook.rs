//! The runbook: a page for each cause, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tracer::diagnose::{Cause, Certainty, origin::OriginCause};

/// Pages that are about no cause: the list, origin errors, and tracer itself.
const OTHERS: [&str; 3] = ["README", "origin_errors", "tracer"];
/// Where the pages are on the web.
const BASE: &str = "https://github.com/origin-tracer/tracer/blob/main/tracer/dist/runbook/";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/runbook")
}

fn page(name: &str) -> String {
    fs::read_to_string(folder().join(name).with_extension("md")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The page that a link leads to, with its section (`#…`) if it names one; `None` if there is no such place.
pub(crate) fn page_of(url: &str) -> Option<String> {
    let (file, section) =
        url.strip_prefix(BASE)?.split_once('#').map_or((url.strip_prefix(BASE)?, None), |(f, s)| (f, Some(s)));
    let text = fs::read_to_string(folder().join(file)).ok()?;
    let has = |section: &str| {
        text.lines().any(|line| line.strip_prefix("## ").is_some_and(|title| title.to_lowercase() == section))
    };
    section.is_none_or(has).then_some(text)
}

#[test]
fn every_cause_has_a_page_and_no_page_is_without_a_cause() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = files.map(|name| name.strip_suffix(".md").expect("a page").to_owned()).collect();
    let wanted = Cause::ALL.iter().map(|cause| cause.name()).chain(OTHERS);
    assert_eq!(found, wanted.map(str::to_owned).collect());
}

#[test]
fn every_cause_of_an_origin_error_has_a_section_and_no_section_is_without_one() {
    let text = page("origin_errors");
    let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, OriginCause::ALL.iter().map(|cause| cause.name()).collect::<Vec<_>>());
}

#[test]
fn every_page_names_its_cause_its_statuses_and_how_sure_it_is() {
    for cause in Cause::ALL {
        let text = page(cause.name());
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("# {cause}").as_str()));
        let facts = lines.nth(1).unwrap_or_default();
        let statuses: Vec<String> =
            cause.edge_statuses().iter().map(|status| status.map_or("none".into(), |n| n.to_string())).collect();
        let rest = facts.strip_prefix(&format!("Edge status: {}. Certainty: ", statuses.join(", ")));
        let certainties = rest.and_then(|rest| rest.strip_suffix('.')).unwrap_or_else(|| panic!("{cause}: {facts}"));
        for word in certainties.split(", ") {
            assert!(Certainty::ALL.iter().any(|certainty| certainty.name() == word), "{cause}: {word}");
            assert!(text.contains(&format!("\n* `{word}`: ")), "{cause}: {word} is not explained");
        }
        for certainty in
            Certainty::ALL.iter().filter(|certainty| !certainties.split(", ").any(|word| word == certainty.name()))
        {
            assert!(
                !text.contains(&format!("\n* `{certainty}`: ")),
                "{cause}: {certainty} is explained and not listed"
            );
        }
    }
}

#[test]
fn pages_are_short_and_have_the_same_sections() {
    for cause in Cause::ALL {
        let text = page(cause.name());
        assert!((20..=60).contains(&text.lines().count()), "{cause}: {} lines", text.lines().count());
        for section in ["How sure, on what evidence", "What the visitor saw", "What to look at"] {
            assert_eq!(text.matches(&format!("\n## {section}\n")).count(), 1, "{cause}: {section}");
        }
    }
}

#[test]
fn the_list_of_pages_is_whole_and_its_statuses_are_right() {
    let text = page("README");
    for cause in Cause::ALL {
        let statuses: Vec<String> =
            cause.edge_statuses().iter().map(|status| status.map_or("none".into(), |n| n.to_string())).collect();
        assert!(text.contains(&format!("\n| [{cause}]({cause}.md) | {} |\n", statuses.join(", "))), "{cause}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for name in Cause::ALL.iter().map(|cause| cause.name()).chain(OTHERS) {
        let text = page(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let url =
                if target.starts_with('#') { format!("{BASE}{name}.md{target}") } else { format!("{BASE}{target}") };
            assert!(page_of(&url).is_some(), "{name}: {target}");
        }
    }
}
