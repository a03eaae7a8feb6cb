//! `xtask clickhouse`: the shipped table and questions on the real engine, with recorded events and a fleet's worth of
//! them.
//!
//! The engine is PyPI's `chdb`, ClickHouse as a Python module, in a virtual environment under cargo's target folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::setup::{self, For};
use crate::{build, sh};

/// ClickHouse, as a package of PyPI.
const ENGINE: &str = "chdb==4.4.0";
/// Loads, compares, multiplies and asks; says the figures.
const PROOF: &str = include_str!("prove.py");
/// Names the file that the tests write what they replay to.
const EVENTS: &str = "TRACER_RECORDED_EVENTS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many events the table gets, over a day of 1,000 origins
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    events: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(For::Clickhouse)?;
    let dir = build::target_dir()?.join("clickhouse");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let python = engine(&dir)?;
    sh::heading("recorded events");
    let recorded = dir.join("recorded.ndjson");
    if recorded.exists() {
        fs::remove_file(&recorded)?;
    }
    let test = ["test", "--quiet", "--package=tracer", "--test=dist", "--", "--exact"];
    sh::run(sh::command("cargo", &test).arg("clickhouse::every_recorded_event_fits_the_table").env(EVENTS, &recorded))?;
    sh::heading("the engine");
    let script = dir.join("prove.py");
    fs::write(&script, PROOF)?;
    let dist = sh::repo().join("tracer/dist/clickhouse");
    let mut prove = Command::new(python);
    prove.arg(&script).args([&dist, &recorded, &dir.join("data")]).arg(args.events.to_string());
    sh::run(&mut prove)
}

/// Installs the engine if it is not there, and gives the Python that has it.
fn engine(dir: &Path) -> Result<std::path::PathBuf> {
    let environment = dir.join("venv");
    let python = environment.join("bin/python");
    let wanted = format!("import chdb, sys; sys.exit('chdb=='+chdb.__version__ != '{ENGINE}')");
    if sh::try_output(Command::new(&python).args(["-c", &wanted])).is_none() {
        sh::heading(&format!("{ENGINE} from PyPI, some 530 MB, into {}", environment.display()));
        sh::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        sh::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", ENGINE]))?;
    }
    Ok(python)
}
