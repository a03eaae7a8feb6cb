//! `xtask vm`: the kernel tests on Debian's kernels, each in a virtual machine, and a table of what passes where.
//!
//! The machines are emulated, and their time passes with the instructions that they run: a busy host makes them slow,
//! but none of their deadlines shorter.

pub(crate) mod apt;
mod cpio;
mod declared;
mod disk;
mod doctor;
mod fleet;
mod gate;
pub mod guest;
mod image;
mod initramfs;
mod job;
mod kernel;
mod kernels;
mod machine;
mod outcome;
mod readme;
mod root;
mod sight;
mod table;
mod tests;
mod zoo;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::architecture::{Architecture, Each};
use crate::setup::{self, For};
use crate::{build, sh};
use apt::Apt;
use fleet::Fleet;
use kernel::Ready;
use kernels::Kernel;
use root::Purpose;

/// The name of the running kernel's column.
const HOST: &str = "host";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the kernel tests whose names contain one of these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Run what the gate runs: the cases that tell most, on the oldest kernel and the newest
    #[arg(long, conflicts_with_all = ["only", "zoo", "doctor", "readme", "kernels"])]
    gate: bool,
    /// Run the kernel tests so often in each machine: one that fails once has failed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "doctor")]
    repeat: u32,
    /// Machines at a time, each of which keeps one core busy
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    at_once: u8,
    /// Minutes that a machine may take
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// More words for the kernels' command line, such as preempt=full
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Run the failure zoo as well, one case of each cause
    #[arg(long, conflicts_with = "doctor")]
    zoo: bool,
    /// The zoo's folder
    #[arg(long, value_name = "DIR", requires = "zoo")]
    zoo_dir: Option<PathBuf>,
    /// These cases of the zoo, or globs of them
    #[arg(long, value_name = "CASE", value_delimiter = ',', requires = "zoo")]
    zoo_cases: Vec<String>,
    /// Show what `tracer doctor` and the verifier say on each kernel instead
    #[arg(long, conflicts_with = "only")]
    doctor: bool,
    /// Write into docs/kernels.md what each kernel shows of each cause, rather than check it
    #[arg(long, conflicts_with_all = ["only", "doctor"])]
    readme: bool,
    /// List the pinned kernels and what apt has in their place, and end
    #[arg(long)]
    pins: bool,
    /// 5.10, 6.1, 6.12, 6.12-rt (PREEMPT_RT), 6.12-arm64, 7.2, or host for the running one; all but that if none is
    /// given
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(std::env::consts::ARCH == "x86_64", "the pinned kernels are for x86_64");
    let (host, named): (Vec<_>, Vec<_>) = args.kernels.iter().cloned().partition(|name| name == HOST);
    let named = if args.gate { gate::KERNELS.map(str::to_owned).to_vec() } else { named };
    let kernels = if named.is_empty() && !host.is_empty() { Vec::new() } else { kernels::choose(&named)? };
    setup::ensure(For::Vm)?;
    let cache = build::target_dir()?.join("vm");
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let _alone = lock(&cache)?;
    if args.pins {
        print!("{}", lists(&cache)?.pins()?);
        return Ok(());
    }
    ensure!(sh::is_root(), "making the guests' root, and the host's own tests, take root");
    sh::heading("binaries for the guests");
    let architectures: Vec<_> = kernels.iter().map(|kernel| kernel.architecture).collect();
    // This host's is needed in any case: it lists the tests.
    let guests = Each::make(&[&architectures[..], &[Architecture::X86_64]].concat(), build::guest)?;
    let kernels = ready(&kernels, &cache)?;
    let fleet = Fleet {
        guests: &guests,
        cache: &cache,
        at_once: args.at_once.into(),
        limit: Duration::from_secs(args.limit * 60),
        append: &args.append,
    };
    let since = Instant::now();
    let roots = Each::make(&architectures, |architecture| root::ready(Purpose::Tests, architecture, &cache))?;
    if args.doctor {
        return doctor::run(&fleet, &kernels, &roots);
    }
    let only = if args.gate { gate::CASES.to_vec() } else { args.only.iter().map(String::as_str).collect() };
    let plan = tests::Plan { fleet: &fleet, only: &only, repeat: args.repeat, readme: args.readme };
    let mut done = plan.run(&kernels, &roots, !host.is_empty());
    if args.zoo {
        done = both(done, run_zoo(&fleet, &kernels, args));
    }
    println!("\n{:.0} s in all", since.elapsed().as_secs_f64());
    done
}

fn run_zoo(fleet: &Fleet, kernels: &[Ready], args: &Args) -> Result<()> {
    let zoo = args.zoo_dir.clone().unwrap_or_else(|| sh::repo().join(crate::zoo::ZOO));
    if !zoo.join("zoo.py").exists() {
        ensure!(args.zoo_dir.is_none(), "no zoo.py in {}", zoo.display());
        println!("zoo: skipped: no {} beside this checkout", crate::zoo::ZOO);
        return Ok(());
    }
    let (own, others): (Vec<_>, Vec<_>) =
        kernels.iter().cloned().partition(|ready| ready.kernel.architecture == Architecture::X86_64);
    for Ready { kernel, .. } in others {
        println!("zoo: left out on {}: its servers' packages can only be installed where they run", kernel.name);
    }
    let roots = Each::make(&[Architecture::X86_64], |own| root::ready(Purpose::Zoo, own, fleet.cache))?;
    zoo::run(fleet, &own, &roots, &zoo, &args.zoo_cases)
}

/// The first failure, with the second's text if there are two.
fn both(first: Result<()>, second: Result<()>) -> Result<()> {
    match (first, second) {
        (Err(first), Err(second)) => Err(anyhow::anyhow!("{first:#}\n{second:#}")),
        (first, second) => first.and(second),
    }
}

/// The kernels made ready. apt's lists are fetched once, and only if one is missing.
fn ready(kernels: &[&'static Kernel], cache: &Path) -> Result<Vec<Ready>> {
    let mut apt = None;
    let mut all = Vec::new();
    for kernel in kernels {
        all.push(kernel::ready(kernel, cache, || {
            let apt = match apt.take() {
                Some(apt) => apt,
                None => lists(cache)?,
            };
            Ok(apt)
        })?);
    }
    Ok(all)
}

/// An apt with new lists.
fn lists(cache: &Path) -> Result<Apt> {
    let apt = Apt::new(cache.join("apt"), &kernels::SUITES)?;
    apt.update()?;
    Ok(apt)
}

/// Two at a time would write to the same files.
fn lock(cache: &Path) -> Result<File> {
    let file = File::create(cache.join("lock")).context("making the lock")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another `xtask vm` is using {}", cache.display()),
        Err(TryLockError::Error(error)) => Err(error).context("locking the cache"),
    }
}
