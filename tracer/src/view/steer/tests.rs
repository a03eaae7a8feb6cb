use super::*;
use crate::{
    diagnose::{Cause, Diagnosis},
    sinks::sample::{diagnosis, origin_error},
    view::{Listening, Numbers, model::KEPT},
};

const AT: Duration = Duration::from_millis(1_500);

/// A failure at each of these ports, in this order.
fn view(ports: impl IntoIterator<Item = u16>) -> View {
    let mut view = View::default();
    for port in ports {
        fail(&mut view, port);
    }
    view
}

fn fail(view: &mut View, port: u16) {
    let failure = Diagnosis { local_port: port, ..diagnosis() };
    assert_eq!(view.update(AT, Input::Failure(&failure)), None);
}

fn press(view: &mut View, keys: &[Key]) -> Option<Effect> {
    keys.iter().map(|key| view.update(AT, Input::Key(*key))).last().flatten()
}

fn write(view: &mut View, text: &str) {
    text.chars().for_each(|c| drop(press(view, &[Key::Char(c)])));
}

fn ports(view: &View) -> Vec<u16> {
    view.listed().iter().map(|entry| entry.record.port()).collect()
}

#[track_caller]
fn shows(view: &View, port: u16) {
    assert_eq!(view.shown(&view.listed()).map(|entry| entry.record.port()), Some(port));
}

#[test]
fn the_newest_is_shown_until_another_is_chosen_which_then_stays() {
    let mut view = view([1, 2, 3]);
    shows(&view, 3);
    fail(&mut view, 4);
    shows(&view, 4);
    press(&mut view, &[Key::Down]);
    shows(&view, 3);
    fail(&mut view, 5);
    shows(&view, 3);
    assert_eq!(view.place(&view.listed()), 2);
    press(&mut view, &[Key::Up, Key::Up, Key::Up]);
    shows(&view, 5);
    fail(&mut view, 6);
    shows(&view, 5);
    press(&mut view, &[Key::Home]);
    shows(&view, 6);
    press(&mut view, &[Key::End, Key::Down]);
    shows(&view, 1);
    press(&mut view, &[Key::PageUp]);
    shows(&view, 6);
}

#[test]
fn no_more_than_the_last_thousand_are_kept_and_a_chosen_one_outlives_them() {
    let mut view = view([1, 2]);
    press(&mut view, &[Key::End]);
    for _ in 0..KEPT + 5 {
        fail(&mut view, 9);
    }
    assert_eq!(view.listed().len(), KEPT);
    assert_eq!(view.failures.total(), KEPT as u64 + 7);
    shows(&view, 1);
    press(&mut view, &[Key::Up]);
    shows(&view, 9);
}

#[test]
fn a_paused_list_stands_still_while_all_is_counted() {
    let mut view = view([1, 2]);
    press(&mut view, &[Key::Char(' ')]);
    for _ in 0..KEPT {
        fail(&mut view, 3);
    }
    assert_eq!((ports(&view), view.held_back()), (vec![2, 1], Some(KEPT as u64)));
    assert_eq!(view.failures.total(), KEPT as u64 + 2);
    press(&mut view, &[Key::Char(' ')]);
    assert_eq!((view.listed().len(), view.held_back()), (KEPT, None));
}

#[test]
fn a_filter_is_typed_mended_and_left() {
    let mut view = view([80, 443, 80]);
    write(&mut view, "/port:443q");
    assert_eq!(view.typing.as_deref(), Some("port:443q"));
    press(&mut view, &[Key::Backspace, Key::Enter]);
    assert_eq!((ports(&view), view.typing.as_deref()), (vec![443], None));
    write(&mut view, "/ x");
    press(&mut view, &[Key::Escape]);
    assert_eq!(ports(&view), [443]);
    press(&mut view, &[Key::Escape]);
    assert_eq!(ports(&view), [80, 443, 80]);
}

#[test]
fn a_wrong_filter_stays_to_be_mended() {
    let mut view = view([80]);
    write(&mut view, "/prt:80");
    press(&mut view, &[Key::Enter]);
    assert_eq!(view.typing.as_deref(), Some("prt:80"));
    assert!(view.note().is_some_and(|note| note.contains("\"prt\"")));
}

#[test]
fn a_filter_has_an_end_and_no_control_characters() {
    let mut view = view([]);
    write(&mut view, "/\u{1b}\u{7}");
    write(&mut view, &"ü".repeat(LONGEST + 10));
    assert_eq!(view.typing, Some("ü".repeat(LONGEST)));
}

#[test]
fn the_shown_record_is_copied_and_written() {
    let mut view = view([80]);
    assert_eq!(press(&mut view, &[Key::Char('c')]), Some(Effect::Copy("7d1234567890abcd-LAX".to_owned())));
    let Some(Effect::Write { name, text }) = press(&mut view, &[Key::Char('w')]) else { panic!("nothing to write") };
    assert_eq!(name, "tracer-20261120T100000.123Z-empty_reply.json");
    assert!(text.starts_with("{\"schema\":1,") && text.ends_with("}\n"), "{text}");
    view.update(AT, Input::OriginError { error: &origin_error(), in_detail: true });
    let Some(Effect::Write { name, .. }) = press(&mut view, &[Key::Char('w')]) else { panic!("nothing to write") };
    assert_eq!(name, "tracer-20261120T100000.123Z-oom_kill.json");
}

#[test]
fn without_a_ray_or_a_record_the_operator_is_told_so() {
    let mut view = view([]);
    assert_eq!(press(&mut view, &[Key::Char('w')]), None);
    assert_eq!(view.note(), Some("there is no record yet"));
    view.update(AT, Input::Failure(&Diagnosis { ray: None, ..diagnosis() }));
    assert_eq!(press(&mut view, &[Key::Char('c')]), None);
    assert_eq!(view.note(), Some("this record has no ray"));
}

#[test]
fn q_and_ctrl_c_end_it_and_a_q_in_a_filter_does_not() {
    assert_eq!(press(&mut view([]), &[Key::Char('q')]), Some(Effect::Quit));
    assert_eq!(press(&mut view([]), &[Key::Char('?'), Key::Char('q')]), Some(Effect::Quit));
    assert_eq!(press(&mut view([]), &[Key::Char('/'), Key::Char('q')]), None);
    assert_eq!(press(&mut view([]), &[Key::Char('/'), Key::Interrupt]), Some(Effect::Quit));
}

#[test]
fn enter_shows_one_record_alone_and_escape_leaves_it() {
    let mut view = view([80]);
    press(&mut view, &[Key::Enter, Key::PageDown]);
    assert_eq!((view.mode, view.scroll), (Mode::Detail, LINES));
    press(&mut view, &[Key::Down]);
    assert_eq!(view.scroll, 0);
    press(&mut view, &[Key::Escape]);
    assert_eq!(view.mode, Mode::List);
}

#[test]
fn answers_that_are_only_counted_are_not_listed() {
    let mut view = View::default();
    let error = origin_error();
    view.update(AT, Input::OriginError { error: &error, in_detail: false });
    view.update(AT, Input::OriginError { error: &error, in_detail: true });
    assert_eq!((view.listed().len(), view.origin_errors.total(), view.failures.total()), (1, 2, 0));
}

#[test]
fn nothing_is_drawn_anew_where_nothing_changed() {
    let mut view = View::default();
    assert!(view.take_changed());
    view.update(Duration::from_millis(100), Input::Tick);
    assert!(!view.take_changed());
    for input in [
        Input::Failure(&Diagnosis { cause: Cause::Crash, ..diagnosis() }),
        Input::Resized,
        Input::Key(Key::Down),
        Input::Numbers(Numbers { exchanges: 1, lost: 0, listening: vec![Listening { port: 1, process: "a".into() }] }),
        Input::Note("a".into()),
    ] {
        view.update(Duration::from_millis(200), input.clone());
        assert!(view.take_changed(), "{input:?}");
    }
    view.update(Duration::from_millis(300), Input::Tick);
    assert!(!view.take_changed());
    view.update(Duration::from_millis(1_100), Input::Tick);
    assert!(view.take_changed());
}

#[test]
fn a_note_goes_after_a_while_or_with_the_next_key() {
    let mut view = View::default();
    view.update(AT, Input::Note("first".into()));
    press(&mut view, &[Key::Home]);
    assert_eq!(view.note(), None);
    view.update(AT, Input::Note("second".into()));
    view.update(AT + Duration::from_secs(9), Input::Tick);
    assert_eq!(view.note(), Some("second"));
    view.update(AT + Duration::from_secs(10), Input::Tick);
    assert_eq!(view.note(), None);
}
