//! Kernel tests: the real binary, a real kernel, real traffic between two network namespaces. Root only.
//!
//! A case stages failures in a [`lab::Lab`], says which records must come of them, and nothing else may come.

mod agent;
mod browser;
mod cases;
#[path = "../dist/dashboard.rs"]
mod dashboard;
mod http;
mod journal;
mod metrics;
mod prometheus;
mod runner;
mod rustls_origin;
mod scan;
mod want;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The origins are this executable, started again; so is process 1 of a virtual machine.
    let asked = lab::origin::main_if_asked().or_else(rustls_origin::main_if_asked);
    match asked.or_else(xtask::vm::guest::main_if_asked) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        None => runner::run(&cases::all()),
    }
}
