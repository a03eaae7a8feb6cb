//! What a task needs on this machine: says what is missing and why, installs it, and leaves alone what is there.

mod apt;
mod mounts;
mod toolchain;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

pub(crate) use toolchain::Pinned;

/// The task that a set-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    Build,
    Demo,
    Test,
    Zoo,
    Bench,
    Soak,
    Fuzz,
    Clickhouse,
    Libraries,
    Vm,
    Dist,
    Trial,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install nothing: list what is missing, and exit with 1 if anything is
    #[arg(long)]
    check: bool,
    /// What to set up for; all of the README's tasks if none is given
    #[arg(value_enum)]
    tasks: Vec<For>,
}

/// One thing that has to be there.
pub(crate) struct Need {
    /// What it is.
    pub(crate) what: String,
    /// What for.
    pub(crate) why: &'static str,
    /// How to get it, in words or as a command.
    pub(crate) how: String,
    /// Gets it.
    pub(crate) get: Box<dyn Fn() -> Result<()>>,
}

/// `xtask setup`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let tasks = if args.tasks.is_empty() { vec![For::Build, For::Test, For::Demo] } else { args.tasks.clone() };
    if args.check {
        let missing = missing(&tasks);
        for need in &missing {
            println!("missing: {} ({})\n         {}", need.what, need.why, need.how);
        }
        if missing.is_empty() {
            println!("nothing is missing");
        }
        return Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !install(&tasks)? {
        println!("set-up: nothing to do");
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets up for one task; silent when nothing is missing.
pub(crate) fn ensure(task: For) -> Result<()> {
    install(&[task]).map(|_| ()).with_context(|| format!("setting up for {task:?}").to_lowercase())
}

/// Installs what is missing. `false`: there was nothing to do.
fn install(tasks: &[For]) -> Result<bool> {
    let missing = missing(tasks);
    if missing.is_empty() {
        return Ok(false);
    }
    if missing.iter().any(|need| need.how.starts_with("apt-get")) && !apt::usable() {
        bail!(
            "this is not a machine whose packages `apt-get` can install as root. What is missing:\n{}",
            in_words(&missing)
        );
    }
    for need in &missing {
        println!("set-up: {} ({})\n        {}", need.what, need.why, need.how);
        (need.get)().with_context(|| format!("setting up {}; by hand: {}", need.what, need.how))?;
    }
    Ok(true)
}

fn in_words(missing: &[Need]) -> String {
    missing.iter().map(|need| format!("  - {}: {}. On Debian 12: {}\n", need.what, need.why, need.how)).collect()
}

/// Everything that is missing for these tasks, in the order of installation.
fn missing(tasks: &[For]) -> Vec<Need> {
    let mut needs = toolchain::missing(tasks);
    needs.extend(apt::missing(tasks));
    if tasks.iter().any(|task| !matches!(task, For::Build | For::Fuzz | For::Clickhouse | For::Libraries | For::Dist)) {
        needs.extend(mounts::missing());
    }
    needs
}
