//! The kernel tests on several kernels and on the host.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::declared::{self, BLURS, DECLARED};
use super::fleet::{Fate, Fleet};
use super::job::{GUEST, Job};
use super::kernel::Ready;
use super::outcome::Outcome;
use super::sight::Sights;
use super::table::{Column, Matrix};
use super::{HOST, kernels, readme};
use crate::architecture::{Architecture, Each};
use crate::build::Guest;
use crate::sh;

/// Enough for the tests, which use a few hundred.
const MEMORY_MIB: u64 = 1536;

/// Which tests to run, and by what.
pub(super) struct Plan<'a> {
    pub(super) fleet: &'a Fleet<'a>,
    /// Only those whose names contain one of these; all if it is empty.
    pub(super) only: &'a [&'a str],
    /// How often in each machine: a test that fails once has failed.
    pub(super) repeat: u32,
    /// Write into the documentation what each kernel shows.
    pub(super) readme: bool,
}

impl Plan<'_> {
    /// Runs the tests, shows the matrix, and fails unless it is as it should be. The host comes first, since the
    /// machines keep it busy.
    pub(super) fn run(&self, kernels: &[Ready], roots: &Each<PathBuf>, host: bool) -> Result<()> {
        let names: Vec<_> = kernels::KERNELS.iter().map(|kernel| kernel.name).collect();
        let strangers = declared::strangers(DECLARED, &names, &self.list(&[])?);
        ensure!(strangers.is_empty(), "declared, but not there: {}", strangers.join(", "));
        let tests = self.list(self.only)?;
        let nameless = self.only.iter().find(|part| tests.iter().all(|test| !test.contains(**part)));
        ensure!(nameless.is_none(), "no kernel test is named {}", nameless.unwrap_or(&""));
        let mut columns = Vec::new();
        if host {
            sh::heading("kernel tests on this host");
            columns.push(self.on_host()?);
        }
        if !kernels.is_empty() {
            sh::heading(&format!("kernel tests in virtual machines, {} at a time", self.fleet.at_once));
            columns.extend(self.in_machines(kernels, roots)?);
        }
        let matrix = Matrix { tests: &tests, columns: &columns, declared: DECLARED };
        print!("{}", matrix.text());
        let mut problems = matrix.problems();
        if !problems.is_empty() {
            println!("\nwhat the kernels show of each cause was not compared: a test that failed would tell less");
        } else if self.only.is_empty() && names.iter().all(|name| columns.iter().any(|column| column.kernel == *name)) {
            problems = self.sights(&columns)?;
        }
        ensure!(
            problems.is_empty(),
            "{} are not as they should be:\n  {}\nwhat the machines and their tests wrote is in {}",
            problems.len(),
            problems.join("\n  "),
            self.fleet.cache.display()
        );
        sh::heading("every test as it should be on every kernel");
        Ok(())
    }

    /// Holds what each kernel shows of each cause against what is declared and what the documentation says.
    fn sights(&self, columns: &[Column]) -> Result<Vec<String>> {
        let kernels: Vec<_> = columns.iter().map(|column| (line(column.kernel), &column.outcome.told)).collect();
        let mut command = self.tests(&[])?;
        let causes = sh::try_output(command.arg("--causes")).context("the tests do not list the causes")?;
        let causes: Vec<_> =
            causes.lines().filter_map(|line| line.strip_suffix(": cause")).map(str::to_owned).collect();
        let sights = Sights { causes: &causes, kernels: &kernels, blurs: BLURS };
        let mut problems = sights.problems();
        if problems.is_empty()
            && let Err(error) = readme::keep(&sights, self.readme)
        {
            problems.push(format!("{error:#}"));
        }
        Ok(problems)
    }

    fn in_machines(&self, kernels: &[Ready], roots: &Each<PathBuf>) -> Result<Vec<Column>> {
        let since = Instant::now();
        let job = Job { script: script(self.only, self.repeat), roots, memory_mib: MEMORY_MIB, folder: None };
        let read = |ready: &Ready, outcome: &mut Outcome, line: &str| {
            outcome.read(line);
            progress(ready.kernel.name, since, line);
        };
        let done = self.fleet.run(kernels, &job, read)?;
        let columns = kernels.iter().zip(done).map(|(ready, (outcome, fate))| Column {
            kernel: ready.kernel.name,
            outcome,
            broken: if let Fate::Broken(why) = fate {
                Some(format!("{why}; its console: {}", self.fleet.console(ready).display()))
            } else {
                None
            },
        });
        Ok(columns.collect())
    }

    fn on_host(&self) -> Result<Column> {
        let mut command = self.tests(self.only)?;
        command.env("TRACER_UNDER_TEST", &self.own()?.tracer).env("TRACER_KERNEL_TESTS", "required");
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting the kernel tests")?;
        let output = child.stdout.take().context("kernel tests without output")?;
        let mut outcome = Outcome::default();
        let since = Instant::now();
        for line in BufReader::new(output).lines() {
            let line = line.context("reading from the kernel tests")?;
            outcome.read(&line);
            progress(HOST, since, &line);
        }
        child.wait().context("waiting for the kernel tests")?;
        Ok(Column { kernel: HOST, outcome, broken: None })
    }

    /// The names of the tests, in the order of running.
    fn list(&self, only: &[&str]) -> Result<Vec<String>> {
        let mut command = self.tests(only)?;
        let list = sh::try_output(command.arg("--list")).with_context(|| format!("`{}` failed", sh::show(&command)))?;
        let names: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
        Ok(names)
    }

    fn tests(&self, only: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.own()?.kernel_tests);
        command.args(only).stdin(Stdio::null());
        Ok(command)
    }

    /// What runs on this host.
    fn own(&self) -> Result<&Guest> {
        self.fleet.guests.of(Architecture::X86_64)
    }
}

/// The line of kernels that a column is of.
fn line(column: &str) -> String {
    if column != HOST {
        return column.to_owned();
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Runs the tests in a guest.
fn script(only: &[&str], repeat: u32) -> String {
    format!(
        "cd /tmp\nexport TRACER_UNDER_TEST={GUEST}/tracer TRACER_KERNEL_TESTS=required\nstatus=0\n\
         for _ in $(seq {repeat}); do {GUEST}/kernel {} || status=$?; done\nexit $status\n",
        only.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(" ")
    )
}

/// One line for each test that ended.
fn progress(kernel: &str, since: Instant, line: &str) {
    if line.starts_with("test ") {
        println!("{kernel:>10} {:>5.0} s  {line}", since.elapsed().as_secs_f64());
    }
}
