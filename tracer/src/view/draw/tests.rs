use std::time::Duration;

use ratatui::{
    Terminal,
    backend::TestBackend,
    style::{Color, Modifier},
};

use super::*;
use crate::{
    diagnose::{Cause, Diagnosis},
    sinks::sample::{diagnosis, origin_error},
    view::{Input, Key, Listening, Numbers},
};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The window as rows of text.
fn rows(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame, true)).unwrap();
    let buffer = terminal.backend().buffer();
    let cells = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| cells(y).trim_end().to_owned()).collect()
}

fn busy() -> View {
    let mut view = View::default();
    let listening = [(80, "nginx"), (443, "nginx"), (22, "sshd")];
    let listening = listening.map(|(port, process)| Listening { port, process: process.into() }).to_vec();
    view.update(at(200), Input::Numbers(Numbers { exchanges: 120, lost: 1, listening }));
    view.update(at(300), Input::Failure(&diagnosis()));
    view.update(at(400), Input::OriginError { error: &origin_error(), in_detail: true });
    view.update(at(1_500), Input::Failure(&Diagnosis { cause: Cause::Crash, ray: None, ..diagnosis() }));
    view.update(at(2_000), Input::Tick);
    view
}

fn press(view: &mut View, keys: &[Key]) {
    keys.iter().for_each(|key| drop(view.update(at(2_000), Input::Key(*key))));
}

/// The whole window, its last line end included.
fn picture(view: &View, width: u16, height: u16) -> String {
    rows(view, width, height).join("\n") + "\n"
}

#[test]
fn eighty_columns_and_twenty_four_rows_show_it_all() {
    let expected = "\
tracer watch 0:00:02  exchanges 120  failures 2  own 5xx 1  lost 1
exchanges/s       60.0                                                        █
failures/s         1.0                                                        ██
own 5xx/s          0.5                                                        █
      failures by cause             origin's own 5xx    listeners      fail  5xx
    1 crash                       1 oom_kill            :80 nginx         2    1
    1 empty_reply                                       :22 sshd          0    0
                                                        :443 nginx        0    0


last records (3) ───────────────────────────────────────────────────────────────
> 10:00:00.123Z  520 crash              GET www.example.com/api/users
  10:00:00.123Z  502 own oom_kill       GET www.example.com/api/users
  10:00:00.123Z  520 empty_reply        GET www.example.com/api/users

520 crash  certain  10:00:00.123Z ──────────────────────────────────────────────
  GET www.example.com/api/users
  nginx[1234] (nginx.service) on :80 ← 173.245.48.10:41234
· the process read the request (182 bytes)
· no response byte was sent
· FIN sent by close() in pid 1234
→ Look at the server's error log at this time.

q quit  ? help  ↑↓ choose  enter alone  / filter  space pause  c copy  w write
";
    assert_eq!(picture(&busy(), 80, 24), expected);
}

#[test]
fn another_record_is_chosen_and_shown() {
    let mut view = busy();
    press(&mut view, &[Key::Down]);
    let shown = rows(&view, 80, 24);
    assert!(shown[12].starts_with("> 10:00:00.123Z  502 own oom_kill"), "{shown:#?}");
    assert!(shown[15].starts_with("origin's own 502 oom_kill  certain  10:00:00.123Z ──"), "{shown:#?}");
    assert_eq!(shown[16], "  GET www.example.com/api/users  ray 7d1234567890abcd-LAX");
    assert_eq!(shown[17], "  nginx[1234] on :80 ← 173.245.48.10:41234, behind it php-fpm8.2[4711] at");
    assert_eq!(shown[18], "  unix:/run/php/php8.2-fpm.sock");
}

#[test]
fn the_smallest_window_shows_every_part_and_says_what_is_cut() {
    let expected = "\
tracer watch 0:00:02  exchanges 120  failures 2  own 5xx 1
exchanges/s       60.0                                    █
failures/s         1.0                                    ██
own 5xx/s          0.5                                    █
      failures by cause     origin's own 5xx  listen fail  5xx
";
    let shown = picture(&busy(), 60, 16);
    assert!(shown.lines().count() == 16 && shown.contains("more lines"), "{shown}");
    assert!(shown.contains("    2 more"), "{shown}");
    assert_eq!(shown.lines().take(4).collect::<Vec<_>>(), expected.lines().take(4).collect::<Vec<_>>());
}

#[test]
fn a_window_below_the_minimum_says_what_the_view_needs() {
    let text = "This window is 40x10; the view needs 60x16. q quits.";
    assert_eq!(picture(&busy(), 40, 10).split_whitespace().collect::<Vec<_>>().join(" "), text);
    for (width, height) in [(1, 1), (1, 100), (200, 1), (59, 16), (60, 15)] {
        rows(&busy(), width, height);
    }
}

#[test]
fn pause_filter_and_a_prompt_are_told() {
    let mut view = busy();
    press(&mut view, &[Key::Char(' ')]);
    view.update(at(2_000), Input::Failure(&diagnosis()));
    "/crash".chars().for_each(|c| press(&mut view, &[Key::Char(c)]));
    let shown = rows(&view, 80, 24);
    assert!(shown[10].starts_with("last records (3)  paused, 1 new ──"), "{shown:#?}");
    assert_eq!(shown[23], "/crash");
    press(&mut view, &[Key::Enter]);
    let shown = rows(&view, 80, 24);
    assert!(shown[10].starts_with("last records (1)  filter: crash  paused, 1 new ──"), "{shown:#?}");
}

#[test]
fn the_help_names_the_keys_and_enter_shows_one_record_alone() {
    let mut view = busy();
    press(&mut view, &[Key::Char('?')]);
    let shown = rows(&view, 80, 24);
    assert_eq!(shown[1], "keys (any key leaves this page)");
    assert!(shown.iter().all(|row| row.chars().count() <= 80) && rows(&view, 60, 16)[14].starts_with("rates:"));
    press(&mut view, &[Key::Escape, Key::Enter]);
    assert!(rows(&view, 80, 24)[1].starts_with("520 crash  certain  10:00:00.123Z ──"));
}

#[test]
fn what_is_foreign_reaches_no_cell_as_it_came() {
    let hostile = "\x1b[2J\x07\u{202e}\u{9b}31m\r\n\u{200b}";
    let text = Some(hostile.to_owned());
    let failure = Diagnosis {
        host: text.clone(),
        path: text.clone(),
        method: text.clone(),
        ray: text.clone(),
        process: text.clone(),
        unit: text.clone(),
        evidence: vec![hostile.to_owned()],
        advice: hostile.to_owned(),
        ..diagnosis()
    };
    let mut view = busy();
    view.update(at(2_000), Input::Failure(&failure));
    view.update(at(2_000), Input::Note(hostile.to_owned()));
    let listening = vec![Listening { port: 1, process: hostile.to_owned() }];
    view.update(at(2_000), Input::Numbers(Numbers { listening, ..Numbers::default() }));
    let shown = rows(&view, 200, 60).concat();
    assert!(shown.chars().all(|c| !c.is_control() && c.escape_debug().len() == 1 || "\\'\"".contains(c)), "{shown}");
    assert!(shown.contains("\\u{1b}[2J\\u{7}\\u{202e}\\u{9b}31m\\r\\n\\u{200b}"), "{shown}");
}

#[test]
fn without_colour_no_cell_has_one_and_the_chosen_row_still_stands_out() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(&busy(), frame, false)).unwrap();
    let buffer = terminal.backend().buffer();
    assert!(buffer.content().iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    assert!(buffer[(0, 11)].modifier.contains(Modifier::REVERSED));
}
