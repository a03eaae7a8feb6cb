//! From a record to its verdict: what is read beside it, and what was said inside TLS.

use std::time::Instant;

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
        for event in events {
            if let Some(recorder) = &mut self.recorder
                && let Err(error) = recorder.write(&event)
            {
                warn!("the recording ends here: {error}");
                self.recorder = None;
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
        let (outputs, is_error) = if let Some((connection, _)) = opener.streams(&record.conn, session) {
            let (outputs, is_error) = self.state.handle_answers(record, &connection, clock);
            if is_error {
                opener.found(&record.conn);
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
            && let Some((connection, says_goodbye)) = opener.streams(&record.conn, session)
        {
            self.state.set_around(around.clone());
            let (outputs, found) = self.state.handle_streams(record, &connection, says_goodbye, clock);
            if found > 0 {
                opener.found(&record.conn);
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
