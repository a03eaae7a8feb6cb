//! Why no event has a ray.

use anyhow::Result;

use crate::config::Past;
use crate::events::{Answer, Events, Notes, ask};

/// The reasons, the likeliest of this host first.
pub(super) fn reasons(past: &Past, events: &Events, answer: Option<Answer>, notes: &Notes) -> Result<Vec<String>> {
    let begins = match notes.begins {
        _ if events.has_journal() => {
            "it was before the journal begins: `journalctl --list-boots` shows how far back it goes".to_owned()
        }
        Some(begins) => format!("it was before the records begin, which is at {begins}"),
        None => "there are no records at all yet".to_owned(),
    };
    let without = events.without_ray()?.map(|count| format!("; {count} events here have none")).unwrap_or_default();
    let inside_tls = format!(
        "its connection was inside TLS and the key was not known, so that its event has no ray{without} \
         (see --tls-sight)"
    );
    let lost = match answer.map_or_else(|| ask(past.listen), Ok) {
        Ok(answer) => lost(&answer),
        Err(error) => format!("its record was lost; how many were can't be told: {error:#}"),
    };
    Ok(vec![
        begins,
        "it went to another host: ask each one behind the name, or it failed before it reached any".to_owned(),
        inside_tls,
        lost,
        "nothing failed here: a complete answer below 500, or an edge that left first, makes no event".to_owned(),
    ])
}

fn lost(answer: &Answer) -> String {
    let places = answer.lost.iter().filter(|(_, count)| **count > 0);
    let places: Vec<_> = places.map(|(place, count)| format!("{place} {count}")).collect();
    if places.is_empty() {
        format!("no record was lost since the daemon at {} started, so that is not why", answer.address)
    } else {
        format!(
            "its record was lost: the daemon at {} has lost some since its start (tracer_events_lost_total: {})",
            answer.address,
            places.join(", ")
        )
    }
}
