//! tracer's tasks: set-up, build, tests, demo, benchmark, packages.

#![deny(unsafe_code)]

mod architecture;
mod bench;
mod build;
mod clickhouse;
mod demo;
mod dist;
mod fuzz;
mod libraries;
mod scrape;
mod setup;
mod sh;
mod soak;
mod test;
pub mod vm;
mod zoo;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "dev", about = "tracer's tasks. Each sets up what it needs first.", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing, and say what and why
    Setup(setup::Args),
    /// Build the release binary
    Build,
    /// Run format, lint, unit, replay and kernel tests
    Test(test::Args),
    /// Bring up an origin and an edge, make real failures, and show `tracer watch` telling them
    Demo(demo::Args),
    /// Measure what watching costs: throughput, CPU, BPF time, memory
    Bench(bench::Args),
    /// Mixed traffic over real servers for half an hour: every failure must be told once, and nothing else
    Soak(soak::Args),
    /// Feed hostile bytes to every parser, starting from what the tests hold
    Fuzz(fuzz::Args),
    /// Find the key-log function in TLS libraries from Debian, PyPI and npm, some 1 GB
    Libraries(libraries::Args),
    /// Judge the release binary by the failure zoo beside this checkout
    Zoo(zoo::Args),
    /// Prove the table for a fleet's events on the real ClickHouse, from PyPI
    Clickhouse(clickhouse::Args),
    /// Make the packages of a release, and try them
    Dist(dist::Args),
    /// Run the kernel tests on other kernels, each in a virtual machine
    Vm(vm::Args),
}

/// Reads the command line and does the task.
pub fn run() -> Result<ExitCode> {
    if let Some(end) = lab::origin::main_if_asked() {
        return end.map(|()| ExitCode::SUCCESS);
    }
    match Cli::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Build => setup::ensure(setup::For::Build).and_then(|()| build::release()).map(|path| {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }),
        Task::Test(args) => test::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Soak(args) => soak::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(args) => fuzz::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Libraries(args) => libraries::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Zoo(args) => zoo::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Clickhouse(args) => clickhouse::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Dist(args) => dist::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Vm(args) => vm::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
