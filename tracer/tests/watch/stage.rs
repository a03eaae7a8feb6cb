//! What is shown: recorded failures and one answer of 5xx, told by the replayed agent.

use std::{
    io::Write as _,
    process::{Command, exit},
    thread,
    time::{Duration, Instant},
};

use tracer::{
    agent::Sink as _,
    commands::watch::{Live, LogLines},
    diagnose::{
        Cause, Diagnosis,
        origin::{OriginError, OriginEvidence, origin_error},
    },
    http::Request,
    sinks::summary::Summary,
    view::{Listening, Numbers},
};

use super::recorded::{events, replay};

/// Names the scene for the program on the terminal.
const SCENE: &str = "TRACER_TEST_SCENE";
/// Failures, in the order in which they are told.
const TOLD: [&str; 5] =
    ["crash_segv", "oom_worker_many", "port_closed", "empty_reply_nginx_444", "keepalive_race_nginx"];
/// A failure comes so long after the one before.
const APART: Duration = Duration::from_millis(750);

/// The recorded failures, with times of day.
pub(crate) fn failures() -> Vec<Diagnosis> {
    let mut time: jiff::Timestamp = "2026-11-20T02:11:40.042Z".parse().unwrap();
    let mut failures: Vec<_> = TOLD.iter().flat_map(|name| replay(&events(name))).collect();
    for failure in &mut failures {
        failure.time = time;
        time += APART;
    }
    failures
}

/// An answer of 502 by nginx, behind which nothing is known.
pub(crate) fn answer() -> OriginError {
    origin_error(&OriginEvidence {
        time: "2026-11-20T02:11:41.342Z".parse().unwrap(),
        status: 502,
        peer: ([173, 245, 48, 10].into(), 48_281),
        local: ([10, 99, 0, 1].into(), 80),
        netns: None,
        exchanges: None,
        age: None,
        request: Request {
            method: Some("GET".into()),
            host: Some("www.example.com".into()),
            path: Some("/cart".into()),
            ray: Some("98c14dd2a288783d-AMS".into()),
        },
        took: None,
        process: None,
        tries: 0,
        upstream: None,
        behind: None,
        sees_unix: true,
        stream: None,
        is_shared: false,
    })
}

pub(crate) fn numbers(exchanges: u64) -> Numbers {
    let listening = [(80, "nginx"), (443, "nginx")];
    let listening = listening.map(|(port, process)| Listening { port, process: process.to_owned() }).to_vec();
    Numbers { exchanges, lost: 0, listening }
}

/// This program, to run a scene.
pub(crate) fn command(scene: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "stage::a_scene", "--ignored", "--nocapture"]).env(SCENE, scene);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

#[test]
#[ignore = "the other tests start it on a terminal of its own"]
fn a_scene() {
    let scene = std::env::var(SCENE).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut live = Live::open(Summary::new(false), None, Box::new(|| numbers(205)), LogLines::default()).unwrap();
    let quit = live.quit();
    live.alive();
    match scene.as_str() {
        "flood" => flood(&mut live),
        "stall" => {
            flood(&mut live);
            let asked = Instant::now();
            let stalled = live.close().is_err();
            std::fs::write(report(), format!("{stalled} {}", asked.elapsed().as_millis())).unwrap();
            exit(0);
        }
        "panic" => drop(thread::spawn(|| panic!("a thread of the agent's panics")).join()),
        _ => tell(&mut live),
    }
    runtime.block_on(quit);
    match live.close() {
        Ok(summary) => print!("{summary}"),
        Err(error) => {
            // The terminal may be gone.
            let _ = writeln!(std::io::stdout(), "the view ended: {error}");
            exit(1);
        }
    }
    exit(0);
}

fn tell(live: &mut Live) {
    for (index, failure) in failures().iter().enumerate() {
        live.failure(failure);
        if index == 0 {
            live.origin_error(&answer(), true);
        }
    }
}

/// 1,000 failures a second for as many seconds as the environment says, each another request.
fn flood(live: &mut Live) {
    let seconds: u64 = std::env::var("TRACER_TEST_SECONDS").unwrap().parse().unwrap();
    let told = failures();
    let (started, used) = (Instant::now(), cpu());
    for number in 0..seconds * 1_000 {
        let mut failure = told[number as usize % told.len()].clone();
        failure.path = Some(format!("/page/{number}"));
        failure.cause = Cause::ALL[number as usize % Cause::ALL.len()];
        live.failure(&failure);
        if number % 1_000 == 0 {
            live.alive();
        }
        let due = Duration::from_millis(number + 1);
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    let share = (cpu() - used).as_secs_f64() / started.elapsed().as_secs_f64();
    std::fs::write(report(), format!("{:.2}", share * 100.0)).unwrap();
}

/// The file that a scene reports to.
fn report() -> String {
    std::env::var("TRACER_TEST_REPORT").unwrap()
}

/// Time that this process has had on CPUs.
fn cpu() -> Duration {
    let stat = procfs::process::Process::myself().and_then(|process| process.stat()).unwrap();
    Duration::from_millis((stat.utime + stat.stime) * 1_000 / procfs::ticks_per_second())
}
