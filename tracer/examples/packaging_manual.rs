//! For packagers, not for users of the library: writes man pages into `DIR/man` and completions for shells into
//! `DIR/completions`. An example only so that `tracer` itself needs neither generator; `cargo xtask dist` runs it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use tracer::cli::Cli;

fn main() -> Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).context("usage: packaging_manual DIR")?);
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut cli = Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut cli, "tracer", &completions).with_context(|| format!("completions for {shell}"))?;
    }
    clap_mangen::generate_to(cli, &man).context("writing the man pages")
}
