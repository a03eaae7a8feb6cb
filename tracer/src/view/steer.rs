//! What each happening does to the view: records are counted and kept, keys move the operator around.

use std::{sync::Arc, time::Duration};

use super::{
    filter::{Filter, LONGEST},
    input::{Effect, Input, Key},
    model::{Mode, View},
};

/// Records that a page of the list is.
const PAGE: usize = 10;
/// Lines of evidence that a page is.
const LINES: usize = 5;

impl View {
    /// Takes in what happened `at` so long after the start. Gives what is to be done outside.
    pub fn update(&mut self, at: Duration, input: Input<'_>) -> Option<Effect> {
        self.pass(at);
        match input {
            Input::Failure(failure) => self.fail(failure),
            Input::OriginError { error, in_detail } => self.answer(error, in_detail),
            Input::Numbers(numbers) => self.learn(numbers),
            Input::Note(note) => self.tell(note),
            Input::Resized => self.touch(),
            Input::Tick => {}
            Input::Key(key) => {
                self.touch();
                self.forget_note();
                return self.press(key);
            }
        }
        None
    }

    fn press(&mut self, key: Key) -> Option<Effect> {
        if key == Key::Interrupt {
            return Some(Effect::Quit);
        }
        if let Some(typed) = self.typing.take() {
            self.write_filter(typed, key);
            return None;
        }
        if self.mode == Mode::Help {
            self.mode = Mode::List;
            return (key == Key::Char('q')).then_some(Effect::Quit);
        }
        match key {
            Key::Char('q') => return Some(Effect::Quit),
            Key::Char('?') => self.mode = Mode::Help,
            Key::Char('/') => self.typing = Some(self.filter.typed().to_owned()),
            Key::Char(' ') => self.pause(),
            Key::Char('c') => return self.copy(),
            Key::Char('w') => return self.save(),
            Key::Enter => self.mode = if self.mode == Mode::List { Mode::Detail } else { Mode::List },
            Key::Escape => self.step_back(),
            Key::Up | Key::Char('k') => self.choose(|place| place.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose(|place| place + 1),
            Key::PageUp if self.mode == Mode::Detail => self.scroll = self.scroll.saturating_sub(LINES),
            Key::PageDown if self.mode == Mode::Detail => self.scroll = self.scroll.saturating_add(LINES),
            Key::PageUp => self.choose(|place| place.saturating_sub(PAGE)),
            Key::PageDown => self.choose(|place| place + PAGE),
            Key::Home | Key::Char('g') => self.follow(),
            Key::End | Key::Char('G') => self.choose(|_| usize::MAX),
            Key::Backspace | Key::Char(_) | Key::Interrupt => {}
        }
        None
    }

    fn choose(&mut self, to: impl FnOnce(usize) -> usize) {
        let listed = self.listed();
        let place = to(self.place(&listed)).min(listed.len().saturating_sub(1));
        let chosen = listed.get(place).copied().map(Arc::clone);
        self.scroll = 0;
        self.chosen = chosen;
    }

    /// Shows the newest record from now on, whichever that is.
    fn follow(&mut self) {
        self.chosen = None;
        self.scroll = 0;
    }

    /// Leaves the record, the choice, the filter: one a time.
    fn step_back(&mut self) {
        if self.mode == Mode::Detail {
            self.mode = Mode::List;
        } else if self.chosen.is_some() {
            self.follow();
        } else {
            self.filter = Filter::default();
        }
    }

    fn write_filter(&mut self, mut typed: String, key: Key) {
        match key {
            Key::Escape => return,
            Key::Enter => match Filter::parse(&typed) {
                Ok(filter) => {
                    self.filter = filter;
                    self.follow();
                    return;
                }
                Err(why) => self.tell(why),
            },
            Key::Backspace => drop(typed.pop()),
            Key::Char(c) if !c.is_control() && typed.chars().count() < LONGEST => typed.push(c),
            _ => {}
        }
        self.typing = Some(typed);
    }

    fn copy(&mut self) -> Option<Effect> {
        let listed = self.listed();
        let ray = self.shown(&listed).and_then(|entry| entry.record.ray()).map(str::to_owned);
        if ray.is_none() {
            self.tell("this record has no ray".to_owned());
        }
        ray.map(Effect::Copy)
    }

    fn save(&mut self) -> Option<Effect> {
        let listed = self.listed();
        let record = self.shown(&listed).map(|entry| &entry.record);
        match record.map(|record| (record.file_name(), record.json())) {
            Some((name, Ok(text))) => Some(Effect::Write { name, text }),
            Some((_, Err(error))) => {
                self.tell(format!("this record can't be written: {error}"));
                None
            }
            None => {
                self.tell("there is no record yet".to_owned());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
