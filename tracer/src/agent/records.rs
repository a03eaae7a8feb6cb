//! From a record to its verdict: what is read beside it, and what was said inside TLS.

use std::{collections::BTreeSet, time::Instant};

use log::warn;
use tracer_common::{AnswerRecord, triggers};

use super::{Agent, look::look_at, waiting::Item};
use crate::{
    decode::Event,
    diagnose::Around,
    probes::proc,
    state::{Clock, Output, as_conn_record},
    tls::Session,
};

impl Agent {
    /// Takes the records that came.
    pub(super) fn handle(&mut self, events: Vec<Event>) -> Vec<Output> {
        let clock = proc::clock();
        let mut outputs = Vec::new();
        let needed = needed(&events);
        for (event, is_needed) in events.into_iter().zip(needed) {
            if let Some(recorder) = &mut self.recorder
                && let Err(error) = recorder.write(&event)
            {
                warn!("the recording ends here: {error}");
                self.recorder = None;
            }
            if !is_needed {
                continue;
            }
            if let (Event::Listen(record), Some(sight)) = (&event, &self.sight) {
                sight.begins(record);
            }
            look_at(&event, &mut self.state, &mut self.kernel_log);
            let published = self.published(&event, clock.monotonic_ns);
            let around = Around { published, ..self.around(&event, clock.monotonic_ns) };
            let session = match (&event, &self.opener) {
                (Event::Conn(record), Some(opener)) => opener.session(&record.conn),
                (Event::Answer(record), Some(opener)) => opener.session(&record.conn),
                _ => None,
            };
            let item = Item { event, around, session };
            let item = match &self.opener {
                Some(opener) => self.waiting.take(item, opener, Instant::now()),
                None => Some(item),
            };
            outputs.extend(item.into_iter().flat_map(|item| self.judge(item, &clock)));
        }
        outputs
    }

    /// Takes the records that have waited for their secrets, and need not any more.
    pub(super) fn handle_ready(&mut self) -> Vec<Output> {
        let Some(opener) = &self.opener else { return Vec::new() };
        let ready = self.waiting.ready(opener, Instant::now());
        self.judge_all(ready)
    }

    /// Takes all that wait.
    pub(super) fn handle_waiting(&mut self) -> Vec<Output> {
        let all = self.waiting.all();
        self.judge_all(all)
    }

    fn judge_all(&mut self, items: Vec<Item>) -> Vec<Output> {
        let clock = proc::clock();
        items.into_iter().flat_map(|item| self.judge(item, &clock)).collect()
    }

    /// An answer inside TLS that may be one of 5xx.
    fn judge_answer(&mut self, record: &AnswerRecord, session: &Session, clock: &Clock) -> Vec<Output> {
        let Some(opener) = &mut self.opener else { return Vec::new() };
        let (outputs, is_error) = if let Some((connection, _)) = opener.streams(&record.conn, session, clock) {
            let (outputs, is_error) = self.state.handle_answers(record, &connection, clock);
            if is_error {
                opener.found(&record.conn, 1);
            }
            (outputs, is_error)
        } else {
            let as_conn = as_conn_record(record);
            let Some(said) = opener.read(&as_conn, session) else { return Vec::new() };
            self.state.handle_answer(record, &as_conn, &said, clock)
        };
        opener.answers_of(record.size, is_error);
        outputs
    }

    fn judge(&mut self, item: Item, clock: &Clock) -> Vec<Output> {
        let Item { event, around, session } = item;
        if let Event::Answer(record) = &event {
            return session.map_or_else(Vec::new, |session| self.judge_answer(record, &session, clock));
        }
        if let (Event::Conn(record), Some(opener), Some(session)) = (&event, &mut self.opener, &session)
            && let Some((connection, says_goodbye)) = opener.streams(&record.conn, session, clock)
        {
            self.state.set_around(around.clone());
            let (outputs, found) = self.state.handle_streams(record, &connection, says_goodbye, clock);
            if found > 0 {
                opener.found(&record.conn, found);
            }
            // What met a socket that was gone is in no trail.
            if found > 0 || record.trigger != triggers::LATE {
                return outputs;
            }
        }
        if let Event::Conn(record) = &event
            && matches!(record.trigger, triggers::HELLO | triggers::STREAM)
        {
            // No failure is known, and none was found.
            return Vec::new();
        }
        // The secrets go as soon as the exchange is open.
        let said = match (&event, &self.opener, session) {
            (Event::Conn(record), Some(opener), Some(session)) => opener.open(record, &session),
            _ => None,
        };
        self.state.set_said(said);
        self.state.set_around(around);
        let outputs = self.state.handle(&event, clock);
        // What was said is wiped now, and not when the next event comes.
        self.state.set_said(None);
        outputs
    }
}

/// Which of these events need be looked at: of several questions about the streams of one connection the last, as what
/// is read then shows all that the others ask about.
fn needed(events: &[Event]) -> Vec<bool> {
    let mut later = BTreeSet::new();
    let mut needed: Vec<_> = events.iter().rev().map(|event| is_needed(event, &mut later)).collect();
    needed.reverse();
    needed
}

/// `later`: connections of which there is a later record.
fn is_needed(event: &Event, later: &mut BTreeSet<(u64, u64)>) -> bool {
    let Event::Conn(record) = event else { return true };
    let is_new = later.insert((record.conn.key, record.conn.opened_ns));
    is_new || record.trigger != triggers::STREAM
}

#[cfg(test)]
mod tests {
    use tracer_common::ConnRecord;
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn of_questions_about_one_connection_the_last_is_looked_at_and_of_other_records_all() {
        let record = |key, opened_ns, trigger| {
            let mut record = ConnRecord::new_zeroed();
            (record.conn.key, record.conn.opened_ns, record.trigger) = (key, opened_ns, trigger);
            Event::Conn(Box::new(record))
        };
        let events = [
            record(1, 1, triggers::STREAM),
            record(2, 1, triggers::STREAM),
            record(1, 2, triggers::STREAM),
            record(1, 1, triggers::HELLO),
            record(1, 1, triggers::STREAM),
            record(2, 1, triggers::FIN),
            record(2, 1, triggers::LATE),
        ];
        assert_eq!(needed(&events), [false, false, true, true, true, true, true]);
    }
}
