//! Parse, log, dispatch, exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use tracer::{
    agent,
    cli::{Cli, Command},
    commands, exit,
};

fn main() -> ExitCode {
    if let Some(result) = agent::attach_if_asked() {
        return end(result.map(|()| exit::DONE));
    }
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::History(args) => commands::history::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Probe(args) => commands::probe::run(args),
        Command::Ranges(args) => commands::ranges::main(args),
    };
    end(result)
}

fn end(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tracer: {error:#}");
            ExitCode::from(exit::status(&error))
        }
    }
}
