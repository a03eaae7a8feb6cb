//! Parse, log, dispatch, exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use tracer::{
    cli::{Cli, Command},
    commands,
    config::Invalid,
    probes::LoadError,
};

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong use.
const USAGE: u8 = 2;
/// This host can't be traced.
const UNTRACEABLE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Ranges(args) => commands::ranges::main(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tracer: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Invalid>()) {
        USAGE
    } else if error.chain().any(|cause| cause.is::<LoadError>()) {
        UNTRACEABLE
    } else {
        FAILED
    }
}
