//! What the terminal shows, what keys do, and that it is set back on every way out.

use std::{num::NonZeroU16, process::Command, time::Duration};

use anyhow::{Result, ensure};
use lab::{Terminal, wait};

use super::{
    picture,
    stage::{command, failures},
};

const DOWN: &str = "\x1b[B";

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn on(program: &mut Command, columns: u16, rows: u16) -> Result<Terminal> {
    Terminal::start(program, cells(columns), cells(rows))
}

/// A view of 80 columns and 24 rows that shows everything recorded.
fn started() -> Result<Terminal> {
    let terminal = on(&mut command("recorded"), 80, 24)?;
    terminal.wait_for(&format!("failures {}", failures().len()))?;
    ensure!(terminal.is_taken(), "the view has no screen of its own");
    Ok(terminal)
}

/// The view has ended well, and its terminal is as it was; the summary stands on it.
fn ended(terminal: &mut Terminal) -> Result<()> {
    let status = terminal.end()?;
    ensure!(status.success(), "{status}: {}", terminal.rows().join("\n"));
    ensure!(terminal.is_set_back()?, "the terminal is not set back");
    let rows = terminal.rows();
    let told = format!("{} failures", failures().len());
    ensure!(rows.iter().any(|row| row.starts_with("watched ") && row.contains(&told)), "{}", rows.join("\n"));
    Ok(())
}

#[test]
fn the_terminal_shows_what_the_frame_holds() -> Result<()> {
    let mut terminal = started()?;
    // Time passes above the heading of the causes.
    let (expected, shown) = (picture::rows(80, 24), terminal.rows());
    assert_eq!(shown[4..], expected[4..], "{}", shown.join("\n"));
    terminal.send("q")?;
    ended(&mut terminal)
}

#[test]
fn keys_choose_filter_and_pause() -> Result<()> {
    let mut terminal = started()?;
    terminal.send(&DOWN.repeat(3))?;
    terminal.wait_for("empty_reply  certain")?;
    terminal.send("/status:521\r")?;
    terminal.wait_for("last records (4)  filter: status:521")?;
    terminal.wait_for("521 port_closed  certain")?;
    terminal.send(" ")?;
    terminal.wait_for("paused, 0 new")?;
    terminal.send("?")?;
    terminal.wait_for("any key leaves this page")?;
    terminal.send("x\r")?;
    terminal.wait_for("521 port_closed  certain")?;
    terminal.send("\x03")?;
    ended(&mut terminal)
}

#[test]
fn the_ray_goes_to_the_clipboard_and_the_record_into_a_file() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tracer-watch-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut terminal = on(command("recorded").current_dir(&folder), 80, 24)?;
    terminal.wait_for("failures ")?;
    terminal.send("/502\r")?;
    terminal.wait_for("origin's own 502")?;
    terminal.send("c")?;
    terminal.wait_for("98c14dd2a288783d-AMS went to the terminal's clipboard")?;
    let sequence = b"\x1b]52;c;OThjMTRkZDJhMjg4NzgzZC1BTVM=\x07";
    ensure!(terminal.bytes().windows(sequence.len()).any(|at| at == sequence), "no OSC 52");
    terminal.send("w")?;
    terminal.wait_for("written: tracer-20261120T021141.342Z-unexplained.json")?;
    let text = std::fs::read_to_string(folder.join("tracer-20261120T021141.342Z-unexplained.json"))?;
    let record: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!((&record["kind"], &record["response_status"]), (&"origin_error".into(), &502.into()));
    terminal.send("q")?;
    ended(&mut terminal)?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

#[test]
fn the_view_follows_the_size_of_its_window() -> Result<()> {
    let mut terminal = started()?;
    terminal.resize(cells(120), cells(40))?;
    wait::until_true("the larger view", Duration::from_secs(10), || {
        terminal.rows().get(39).is_some_and(|row| row.starts_with("q quit"))
    })?;
    assert_eq!(terminal.rows()[4..], picture::rows(120, 40)[4..]);
    terminal.resize(cells(50), cells(10))?;
    terminal.wait_for("This window is 50x10")?;
    terminal.resize(cells(80), cells(24))?;
    terminal.wait_for("last records")?;
    assert_eq!(terminal.rows()[4..], picture::rows(80, 24)[4..]);
    terminal.send("q")?;
    ended(&mut terminal)
}

#[test]
fn no_color_shows_the_same_without_a_colour() -> Result<()> {
    let mut terminal = on(command("recorded").env("NO_COLOR", "1"), 80, 24)?;
    terminal.wait_for(&format!("failures {}", failures().len()))?;
    assert_eq!(terminal.rows()[4..], picture::rows(80, 24)[4..]);
    terminal.send("q")?;
    ended(&mut terminal)?;
    let text = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let colours = text.split("\x1b[").filter_map(|part| part.split_once('m')).map(|(code, _)| code);
    let wrong: Vec<_> = colours.filter(|code| code.starts_with('3') || code.starts_with("38;")).collect();
    assert!(wrong.iter().all(|code| *code == "39"), "{wrong:?}");
    Ok(())
}

#[test]
fn a_panic_elsewhere_leaves_a_terminal_that_can_be_used() -> Result<()> {
    // A backtrace would push the message off the screen.
    let mut terminal = on(command("panic").env("RUST_BACKTRACE", "0"), 80, 24)?;
    let status = terminal.end()?;
    ensure!(!status.success() && terminal.is_set_back()?, "{status}: {}", terminal.rows().join("\n"));
    let rows = terminal.rows().join("\n");
    ensure!(rows.contains("a thread of the agent's panics") && rows.contains("another thread has panicked"), "{rows}");
    Ok(())
}

#[test]
fn nothing_is_written_while_nothing_changes_but_the_clock() -> Result<()> {
    let mut terminal = started()?;
    // A second begins at any moment; within one, nothing else changes.
    std::thread::sleep(Duration::from_secs(12));
    let before = terminal.bytes().len();
    std::thread::sleep(Duration::from_secs(3));
    let written = terminal.bytes().len() - before;
    ensure!(written < 1_500, "{written} bytes in three seconds");
    terminal.send("q")?;
    ended(&mut terminal)
}

#[test]
fn a_terminal_that_hangs_up_ends_the_view() -> Result<()> {
    let mut terminal = started()?;
    terminal.hang_up();
    // The scene ends with 1 where the view has ended by an error: here that nobody reads it any more.
    assert_eq!(terminal.end()?.code(), Some(1));
    Ok(())
}

#[test]
fn a_flood_of_failures_is_drawn_ten_times_a_second() -> Result<()> {
    let seconds = std::env::var("TRACER_TEST_SECONDS").unwrap_or_else(|_| "3".to_owned());
    let report = std::env::temp_dir().join(format!("tracer-flood-{}", std::process::id()));
    let mut flood = command("flood");
    flood.env("TRACER_TEST_SECONDS", &seconds).env("TRACER_TEST_REPORT", &report);
    let mut terminal = on(&mut flood, 80, 24)?;
    terminal.wait_for(&format!("failures {seconds}000"))?;
    let frames = terminal.bytes().windows(6).filter(|at| at == b"\x1b[?25l").count();
    let most = 10 * (seconds.parse::<usize>()? + 3);
    ensure!(frames <= most, "{frames} frames in {seconds} s");
    terminal.send("q")?;
    terminal.end()?;
    let share = std::fs::read_to_string(&report)?;
    std::fs::remove_file(&report)?;
    println!("1,000 failures a second for {seconds} s: {share} % of a core, {frames} frames");
    Ok(())
}

#[test]
fn a_terminal_that_takes_no_bytes_stops_neither_the_agent_nor_its_end() -> Result<()> {
    let report = std::env::temp_dir().join(format!("tracer-stall-{}", std::process::id()));
    let mut flood = command("stall");
    flood.env("TRACER_TEST_SECONDS", "6").env("TRACER_TEST_REPORT", &report);
    let mut terminal = on(&mut flood, 80, 24)?;
    terminal.wait_for("failures ")?;
    terminal.stall();
    ensure!(terminal.end()?.success(), "the scene failed");
    let told = std::fs::read_to_string(&report)?;
    std::fs::remove_file(&report)?;
    let (stalled, took) = told.split_once(' ').unwrap();
    ensure!(stalled == "true" && took.parse::<u64>()? < 1_900, "{told} ms");
    Ok(())
}
