//! `cargo xtask TASK`: a thin binary over the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match xtask::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
