//! The picture of the view in docs/watch.md.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};
use tracer::view::{Input, Key, View, draw};

use super::stage::{answer, failures, numbers};

const PAGE: &str = include_str!("../../../docs/watch.md");

/// What the recorded failures and the answer leave in a view.
fn view() -> View {
    let mut view = View::default();
    for (index, failure) in (0_u32..).zip(&failures()) {
        let at = Duration::from_millis(750) * index;
        view.update(at, Input::Numbers(numbers(u64::from(index + 1) * 9)));
        view.update(at, Input::Failure(failure));
        if index == 0 {
            view.update(at, Input::OriginError { error: &answer(), in_detail: true });
        }
    }
    view
}

fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame, true)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

/// The rows of the view in a window of this size.
pub(crate) fn rows(width: u16, height: u16) -> Vec<String> {
    drawn(&view(), width, height)
}

/// The page's block that begins with this line.
fn block(first: &str) -> &'static str {
    let blocks = PAGE.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.starts_with(first)).unwrap_or_default()
}

#[test]
fn the_page_shows_the_view_as_it_is() {
    let shown = rows(80, 24).join("\n") + "\n";
    assert_eq!(block("tracer watch"), shown, "docs/watch.md should show:\n{shown}");
}

#[test]
fn the_page_shows_the_help_as_it_is() {
    let mut view = view();
    view.update(Duration::ZERO, Input::Key(Key::Char('?')));
    let rows = drawn(&view, 80, 24);
    let help: Vec<_> = rows[1..23].iter().filter(|row| !row.is_empty()).map(String::as_str).collect();
    let help = help.join("\n") + "\n";
    assert_eq!(block("keys "), help, "docs/watch.md should show:\n{help}");
}
