//! Runs the cases one after the other (a tracer sees the whole host, so that two at a time would see each other).

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use tracer::diagnose::Cause;

use crate::agent;

/// `required`: not being root is a failure; `skip`: run nothing; unset: run if root.
const SWITCH: &str = "TRACER_KERNEL_TESTS";

/// Why a case can't run here: it counts as ignored, unless the tests are required.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) &'static str);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}

/// What became of a case.
enum Outcome {
    Passed,
    Failed(anyhow::Error),
    Ignored,
}

/// A test: its name and what it does.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Result<()>,
}

/// Makes cases of functions, named after them.
macro_rules! cases {
    ($($function:ident),+ $(,)?) => {
        vec![$($crate::runner::Case { name: stringify!($function), run: $function }),+]
    };
}
pub(crate) use cases;

/// Runs the cases that the command line names, all by default, in libtest's manner.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen: Vec<&Case> = cases
        .iter()
        .filter(|case| filters.is_empty() || filters.iter().any(|part| case.name.contains(part.as_str())))
        .collect();
    if args.iter().any(|arg| arg == "--causes") {
        Cause::ALL.iter().for_each(|cause| println!("{cause}: cause"));
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--list") {
        chosen.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let left_out = cases.len() - chosen.len();
    let switch = std::env::var(SWITCH).unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    if switch == "skip" || (!root && switch != "required") {
        let why = if root { "TRACER_KERNEL_TESTS=skip" } else { "they need root" };
        println!("kernel tests skipped: {why}");
        return close(0, 0, chosen.len(), left_out);
    }
    if !root {
        eprintln!("kernel tests are required, and need root: run as root");
        return close(0, chosen.len(), 0, left_out);
    }
    println!("\nrunning {} tests", chosen.len());
    let outcomes: Vec<Outcome> = chosen.iter().map(|case| attempt(case, switch == "required")).collect();
    let end = agent::retire();
    if let Err(error) = &end {
        println!("\nthe agent of the last cases: {error:#}");
    }
    for (case, outcome) in chosen.iter().zip(&outcomes) {
        if let Outcome::Failed(error) = outcome {
            println!("\n---- {} ----\n{error:#}", case.name);
        }
    }
    let failed =
        outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed(_))).count() + usize::from(end.is_err());
    let ignored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Ignored)).count();
    close((chosen.len() - ignored).saturating_sub(failed), failed, ignored, left_out)
}

fn attempt(case: &Case, required: bool) -> Outcome {
    let start = Instant::now();
    let outcome = catch_unwind(case.run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Err(anyhow!("panicked: {}", text.unwrap_or("no message")))
    });
    let outcome = match outcome {
        Ok(()) => Outcome::Passed,
        Err(error) if !required && error.is::<Skip>() => {
            println!("test {} ... ignored: {error}", case.name);
            return Outcome::Ignored;
        }
        Err(error) => Outcome::Failed(error),
    };
    let verdict = if matches!(outcome, Outcome::Passed) { "ok" } else { "FAILED" };
    println!("test {} ... {verdict} ({:.1} s)", case.name, start.elapsed().as_secs_f64());
    outcome
}

fn close(passed: usize, failed: usize, ignored: usize, left_out: usize) -> ExitCode {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {left_out} \
         filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
