//! The rules, one file for each topic, and what they share.

mod behind;
mod close;
mod context;
mod network;
mod opaque;
mod process;
mod response;
mod tls;

use std::time::Duration;

use super::*;
use crate::{
    http::{Fault, Lacks, Progress, Request, Response, Unfinished},
    tls::{Alert, Answer, Handshake, Version},
};

/// A plain HTTP request that was read and not answered, on a fresh connection that its process closed.
fn unanswered() -> Evidence {
    Evidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        trigger: Trigger::Fin,
        peer: ("173.245.48.10".parse().unwrap(), 41234),
        local: ("10.99.0.1".parse().unwrap(), 80),
        netns: Some(1),
        seeded: false,
        protocol: Protocol::Http,
        accepted: true,
        exchanges: 1,
        turns: 1,
        age: Some(Duration::from_millis(12)),
        idle: Some(Duration::from_millis(1)),
        closed_for: None,
        bytes_received: 182,
        bytes_sent: 0,
        unread: 0,
        unacked: 0,
        retransmits: 0,
        stuck: Duration::ZERO,
        acked: 0,
        window: 65_535,
        waited: Duration::from_millis(1),
        quiet: Duration::from_millis(1),
        since_read: 0,
        turn_may_be_request: true,
        was_left: false,
        turn_out: 500,
        bodyless: true,
        decrypted: false,
        close_notify: false,
        request: Request { method: Some("GET".to_owned()), path: Some("/x".to_owned()), host: None, ray: None },
        request_head: None,
        unfinished: None,
        response: Response { progress: Progress::Nothing, ..Response::default() },
        stream: None,
        handshake: None,
        limits: Limits::default(),
        process: Some(Process { name: "web".to_owned(), pid: 7, ..Process::default() }),
        end: End::Running,
        oom: false,
        oom_scope: None,
        signal: None,
        reset_reason: None,
        destroyed: false,
        outlived: false,
        behind: None,
        around: Around::default(),
    }
}

fn with(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = unanswered();
    change(&mut evidence);
    evidence
}

fn signal(number: u8, sender: Sender) -> Option<Signal> {
    Some(Signal { number, sender, before: Duration::from_millis(3) })
}

fn other() -> Sender {
    Sender::Other { pid: 1, name: "systemd".to_owned() }
}

fn master() -> Sender {
    Sender::Master { pid: 2, name: "web".to_owned() }
}

fn ordered() -> Sender {
    Sender::OrderedMaster { pid: 2, name: "web".to_owned(), by: "bash[9]".to_owned(), with: 15 }
}

fn progress(progress: Progress) -> Response {
    Response { status: Some(200), header_bytes: Some(40), progress, ..Response::default() }
}

/// The one way to state a rule: this evidence gives this cause, for sure or not, with this symptom and status.
#[track_caller]
fn check(e: &Evidence, cause: Cause, certainty: Certainty, symptom: Symptom, edge_status: Option<u16>) {
    let verdict = diagnose(e).expect("a failure");
    let told = (verdict.cause, verdict.certainty, verdict.symptom, verdict.edge_status);
    assert_eq!(told, (cause, certainty, symptom, edge_status), "{verdict:#?}");
    assert!(cause.edge_statuses().contains(&edge_status), "{cause} does not announce {edge_status:?}");
    assert!(!verdict.evidence.is_empty());
    assert!(verdict.advice.len() > 20);
}

#[track_caller]
fn sound(e: &Evidence) {
    assert_eq!(diagnose(e), None);
}

/// A response that began, and how far it got.
fn began(trigger: Trigger, so_far: Progress) -> Evidence {
    with(|e| {
        e.trigger = trigger;
        e.response = progress(so_far);
        (e.waited, e.quiet) = (Duration::from_secs(3), Duration::from_secs(2));
    })
}

/// A connection on which the edge began a handshake.
fn shaking(trigger: Trigger, change: impl FnOnce(&mut Handshake)) -> Evidence {
    with(|e| {
        (e.trigger, e.protocol, e.exchanges) = (trigger, Protocol::Tls, 0);
        (e.request, e.response) = (Request::default(), Response::default());
        let mut handshake = Handshake { hello: true, answer: Answer::Tls, ..Handshake::default() };
        change(&mut handshake);
        e.handshake = Some(handshake);
    })
}

const C: Certainty = Certainty::Certain;
const L: Certainty = Certainty::Likely;
const S520: Option<u16> = Some(520);

#[test]
fn every_cause_is_spelled_once_and_announces_its_statuses() {
    let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Cause::ALL.len());
    assert!(Cause::ALL.iter().all(|cause| !cause.edge_statuses().is_empty()));
}
