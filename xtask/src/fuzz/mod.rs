//! `xtask fuzz`: hostile bytes for every parser, from what the repository's tests hold, until one panics or the time is
//! up.

mod seeds;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, For, Pinned};
use crate::{build, sh};

/// The targets; each says in `tracer/fuzz/targets` what must hold.
const TARGETS: [&str; 15] = [
    "certificate",
    "events",
    "framing",
    "http2",
    "http_exchange",
    "http_request",
    "ranges",
    "record",
    "recording",
    "server_config",
    "tls_handshake",
    "tls_keylog",
    "tls_keys",
    "tls_site",
    "view",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// What to fuzz; all if none is given
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(For::Fuzz)?;
    let fuzzer = Fuzzer { nightly: Pinned::nightly()?.channel, target_dir: build::target_dir()? };
    sh::heading("fuzz targets: build");
    sh::run(&mut fuzzer.command("build")).context("building the fuzz targets")?;
    let targets =
        TARGETS.into_iter().filter(|&name| args.targets.is_empty() || args.targets.iter().any(|one| one == name));
    for target in targets {
        sh::heading(&format!("{target}: {} s", args.seconds));
        fuzzer.fuzz(target, args.seconds)?;
    }
    sh::heading("no target panicked");
    Ok(())
}

struct Fuzzer {
    nightly: String,
    target_dir: PathBuf,
}

impl Fuzzer {
    /// Runs one target; an error names the input that made it panic.
    fn fuzz(&self, target: &str, seconds: u32) -> Result<()> {
        let corpus = self.target_dir.join("fuzz-corpus").join(target);
        seeds::write(target, &corpus).with_context(|| format!("seeding {}", corpus.display()))?;
        let crash = self.target_dir.join("fuzz-corpus").join(format!("{target}.crash"));
        try_again(&crash, &corpus)?;
        let mut command = self.command("run");
        command.arg(target).arg(&corpus).arg("--").arg(format!("-max_total_time={seconds}"));
        command.args(["-timeout=10", "-verbosity=0", "-print_funcs=0", "-print_final_stats=1"]);
        command.arg(format!("-exact_artifact_path={}", crash.display()));
        let done = sh::run(&mut command);
        if !crash.exists() {
            return done;
        }
        let mut repeat = self.command("run");
        repeat.arg(target).arg(&crash);
        bail!(
            "{target} fails on {}; to repeat it:\n  cd {}\n  {}",
            crash.display(),
            sh::repo().join("tracer").display(),
            sh::show(&repeat)
        );
    }

    /// cargo-fuzz, on the nightly that is pinned: sanitizers and coverage are not in stable Rust.
    fn command(&self, task: &str) -> Command {
        let mut command = Command::new("rustup");
        command.current_dir(sh::repo().join("tracer")).args(["run", &self.nightly, "cargo", "fuzz", task]);
        command.arg("--target-dir").arg(self.target_dir.join("fuzz"));
        // Cargo hands its own path on, and with it the toolchain that this task runs on.
        for inherited in ["CARGO", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
            command.env_remove(inherited);
        }
        command
    }
}

/// Makes what an earlier run failed on one of the first inputs of this one.
fn try_again(crash: &Path, corpus: &Path) -> Result<()> {
    match fs::rename(crash, corpus.join("earlier-crash")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("moving an earlier run's input"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = fs::read_to_string(sh::repo().join("tracer/fuzz/Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let names = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), TARGETS);
    }

    #[test]
    fn every_target_has_seeds() {
        for target in TARGETS {
            assert!(!seeds::of(target).unwrap().is_empty(), "{target}");
        }
    }

    #[test]
    fn what_must_hold_holds_of_every_seed_and_of_every_prefix_of_its_start() {
        const START: usize = 512;
        assert_eq!(tracer_fuzz_targets::ALL.map(|(name, _)| name), TARGETS);
        for (name, target) in tracer_fuzz_targets::ALL {
            for seed in seeds::of(name).unwrap() {
                target(&seed);
                (0..seed.len().min(START)).for_each(|end| target(&seed[..end]));
            }
        }
    }
}
