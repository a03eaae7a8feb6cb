//! `xtask demo`: a real nginx fails in every way of the connection level, and `tracer watch` tells why.

mod origin;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::{self, For};
use crate::{build, sh};
use lab::{EDGE_A, EDGE_B, End, Lab, Seen};
use origin::{IDLE, Origin, PORT};
use watch::Watch;

/// How long tracer may take to tell a failure.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// Sound requests before the first failure, on each of the two kinds of connection.
const HEALTHY: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the other failures even if one was not told
    #[arg(long)]
    keep_going: bool,
    /// Use this binary instead of building one
    #[arg(long, value_name = "PATH")]
    tracer: Option<PathBuf>,
}

/// One failure: what is announced, how it is made, and the cause that has to be told.
struct Scene {
    announcement: &'static str,
    make: fn(&Lab, &mut Origin) -> Result<()>,
    cause: &'static str,
}

const SCENES: [Scene; 6] = [
    Scene {
        announcement: "the edge asks for /nothing: nginx closes without a word (`return 444`)",
        make: |lab, _| expect(lab, "/nothing", Seen::Empty),
        cause: "empty_reply",
    },
    Scene {
        announcement: "the edge asks for /reset: nginx aborts the connection (`reset_timedout_connection on; return 444`)",
        make: |lab, _| expect(lab, "/reset", Seen::Reset),
        cause: "app_reset",
    },
    Scene {
        announcement: "the edge asks for /fault: the nginx worker dies of SIGSEGV",
        make: |lab, origin| {
            expect(lab, "/fault", Seen::Empty)?;
            origin.wait_for_new_worker()?;
            ensure!(origin.error_log().contains("exited on signal 11"), "the worker died of something else");
            Ok(())
        },
        cause: "crash",
    },
    Scene {
        announcement: "the edge asks for /leak: the nginx worker eats its cgroup's memory, and the OOM killer takes it",
        make: |lab, origin| {
            expect(lab, "/leak", Seen::Empty)?;
            origin.wait_for_new_worker()?;
            ensure!(origin.oom_kills()? == 1, "the worker died of something else");
            Ok(())
        },
        cause: "oom_kill",
    },
    Scene {
        announcement: "the edge sends its next request just after nginx closed the idle connection (`keepalive_timeout`)",
        make: keepalive_race,
        cause: "keepalive_race",
    },
    Scene {
        announcement: "nginx is stopped, and the edge comes again: nobody listens",
        make: |lab, origin| {
            origin.stop()?;
            expect(lab, "/", Seen::Refused)
        },
        cause: "port_closed",
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    if !sh::is_root() {
        bail!("the demo loads BPF programs and makes network namespaces: run it as root");
    }
    setup::ensure(For::Demo)?;
    let tracer = args.tracer.clone().map_or_else(build_announced, Ok)?;
    let started = Instant::now();
    sh::heading("an origin (nginx) and an edge (Cloudflare's addresses), each in a network namespace of its own");
    let lab = Lab::new()?;
    let mut origin = Origin::start(&lab)?;
    sh::heading("tracer watch");
    let mut watch = Watch::start(&tracer)?;
    let mut untold = Vec::new();
    healthy(&lab)?;
    for scene in &SCENES {
        println!("\n→ {}", scene.announcement);
        (scene.make)(&lab, &mut origin).with_context(|| format!("making a {}: {}", scene.cause, origin.error_log()))?;
        if let Err(error) = watch.wait_for(scene.cause, TOLD_WITHIN) {
            println!("  not told: {error:#}");
            untold.push(scene.cause);
            if !args.keep_going {
                break;
            }
        }
    }
    println!("\n→ the end: tracer sums up");
    let told = watch.finish()?;
    drop(origin);
    drop(lab);
    ensure!(untold.is_empty(), "tracer did not tell: {}", untold.join(", "));
    let expected: Vec<&str> = SCENES.iter().map(|scene| scene.cause).collect();
    ensure!(told == expected, "tracer told {told:?}, and what happened was {expected:?}");
    println!("\nEvery failure was told, and nothing else ({:.1} s).", started.elapsed().as_secs_f64());
    Ok(())
}

fn build_announced() -> Result<PathBuf> {
    sh::heading("building tracer");
    build::release()
}

/// Sound traffic, of which nothing must be told.
fn healthy(lab: &Lab) -> Result<()> {
    println!("\n→ {} sound requests, half of them on one kept-alive connection: silence", 2 * HEALTHY);
    let mut kept = lab.connect(EDGE_B, PORT)?;
    for _ in 0..HEALTHY {
        let answers = [kept.request("/")?.seen, lab.get(EDGE_A, PORT, "/")?.seen];
        ensure!(answers == [Seen::Complete(200); 2], "a sound request failed: {answers:?}");
    }
    Ok(())
}

fn expect(lab: &Lab, path: &str, outcome: Seen) -> Result<()> {
    let seen = lab.get(EDGE_A, PORT, path)?.seen;
    ensure!(seen == outcome, "the edge saw {seen:?} instead of {outcome:?}");
    Ok(())
}

fn keepalive_race(lab: &Lab, _: &mut Origin) -> Result<()> {
    let mut conn = lab.connect(EDGE_B, PORT)?;
    ensure!(conn.request("/")?.seen == Seen::Complete(200), "the first request failed");
    ensure!(conn.wait_end(IDLE * 10)? == End::Fin, "nginx keeps the idle connection");
    let seen = conn.request("/next")?.seen;
    ensure!(matches!(seen, Seen::Empty | Seen::Reset), "the edge saw {seen:?}");
    Ok(())
}
