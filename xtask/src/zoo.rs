//! `xtask zoo`: the release build judged by the failure zoo, which lives outside this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::setup::{self, For};
use lab::unit;

use crate::{build, sh};

/// Where the zoo is if not told otherwise, from the repository's root.
pub(crate) const ZOO: &str = "../shared/zoo";
/// The cases that the tracer must get fully right.
const SETS: [&str; 4] = ["sets/spine.txt", "sets/wire.txt", "sets/sound.txt", "sets/reports.txt"];
/// Those that it must get fully right with sight inside TLS, rays and paths included, and how their names begin.
const INSIDE: [&str; 2] = ["sets/inside.txt", "sets/upstream.txt"];
const INSIDE_NAMES: [&str; 2] = ["inside_", "up_"];
/// Cases of these sets that can't be got right, and why.
const LEFT_OUT: [(&str, &str); 1] =
    [("up_two_layers", "its truth names a thread of the process behind, where a process id is asked for")];
/// What follows the binary's path; the zoo fills in the braces.
pub(crate) const RUN: &str = "run --listen {metrics} --events {events} --ranges {ranges} --connect-timeout {connect_timeout}s \
    --read-timeout {read_timeout}s --write-timeout {write_timeout}s --header-limit {header_limit}";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run everything so many times
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// The zoo's folder
    #[arg(long, value_name = "DIR")]
    zoo: Option<PathBuf>,
    /// Start the tracer with the systemd unit's privileges instead of root's
    #[arg(long)]
    as_unit: bool,
    /// Judge each case once: with one tracer for all, or, where a case has limits of its own, with one for it alone
    #[arg(long, conflicts_with = "cases")]
    once: bool,
    /// Cases, or globs of them; all that the tracer must get right if none is given. Those named inside_… or up_… run
    /// with --tls-sight
    cases: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let zoo = args.zoo.clone().unwrap_or_else(|| sh::repo().join(ZOO));
    if !zoo.join("zoo.py").exists() {
        if args.zoo.is_some() {
            bail!("no zoo.py in {}", zoo.display());
        }
        println!("skipped: no {ZOO} beside this checkout");
        return Ok(());
    }
    if !sh::is_root() {
        bail!("the zoo loads BPF programs and makes namespaces: run as root");
    }
    setup::ensure(For::Zoo)?;
    let tracer = build::release()?;
    let cases = if args.cases.is_empty() { default_cases(&zoo)? } else { args.cases.clone() };
    let (inside, outside): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| INSIDE_NAMES.iter().any(|name| case.starts_with(name)));
    for (cases, sight) in [(outside, false), (inside, true)] {
        if !cases.is_empty() {
            let mut command = format!("{} {RUN}{}", tracer.display(), if sight { " --tls-sight" } else { "" });
            if args.as_unit {
                // The zoo makes the events file, as root.
                command = format!("chown {} {{events}} && exec {} {command}", unit::USER, unit::prefix()?.join(" "));
            }
            play_all(args, &Round { zoo: &zoo, command, sight }, &cases)?;
        }
    }
    sh::heading(&format!("zoo: every case fully right, {} run(s)", args.runs));
    Ok(())
}

/// Runs the cases as often and in the ways that were asked for.
fn play_all(args: &Args, round: &Round<'_>, cases: &[String]) -> Result<()> {
    let with = if round.sight { ", with sight inside TLS" } else { "" };
    for number in 1..=args.runs {
        let run = format!("zoo{with}, run {number} of {}", args.runs);
        if args.once {
            sh::heading(&format!("{run}, one tracer for all cases"));
            let judged = round.judge("run", cases)?;
            let rest: Vec<String> = cases.iter().filter(|case| !judged.contains(*case)).cloned().collect();
            if !rest.is_empty() {
                sh::heading(&format!(
                    "{run}, one tracer for each of the {} cases with limits of their own",
                    rest.len()
                ));
                round.judge("case", &rest)?;
            }
            continue;
        }
        for per in ["case", "run"] {
            sh::heading(&format!("{run}, one tracer per {per}"));
            round.judge(per, cases)?;
        }
    }
    Ok(())
}

fn default_cases(zoo: &Path) -> Result<Vec<String>> {
    let mut cases = Vec::new();
    for set in SETS.into_iter().chain(INSIDE) {
        let text = fs::read_to_string(zoo.join(set)).with_context(|| format!("reading {set} of the zoo"))?;
        cases.extend(text.split_whitespace().map(str::to_owned));
    }
    for (left_out, why) in LEFT_OUT {
        println!("left out: {left_out}: {why}");
        cases.retain(|case| case != left_out);
    }
    Ok(cases)
}

/// How often a case is repeated that the zoo could not stage as it declares it: some depend on its own timing.
const REPEATS: u32 = 3;

struct Round<'a> {
    zoo: &'a Path,
    command: String,
    /// The tracer looks inside TLS: what it reads there is judged, too.
    sight: bool,
}

impl Round<'_> {
    /// Runs the cases, repeats those whose own witnesses disagreed, and fails unless all are fully right. Returns those
    /// that were judged: with one tracer for all, the zoo leaves out the cases that have limits of their own.
    fn judge(&self, per: &str, cases: &[String]) -> Result<BTreeSet<String>> {
        let mut verdicts = self.play(per, cases)?;
        for _ in 0..REPEATS {
            let not_staged = verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::NotStaged(_)));
            let again: Vec<String> = not_staged.map(|(case, _)| case.clone()).collect();
            if again.is_empty() {
                break;
            }
            println!("the zoo's own checks failed in {}; once more:", again.join(" "));
            verdicts.extend(self.play(per, &again)?);
        }
        let wrong: Vec<String> = verdicts
            .iter()
            .filter_map(|(case, verdict)| match verdict {
                Verdict::Right => None,
                Verdict::NotStaged(why) | Verdict::Wrong(why) => Some(format!("  {case}: {why}")),
            })
            .collect();
        if !wrong.is_empty() {
            bail!("{} of {} cases are not fully right:\n{}", wrong.len(), verdicts.len(), wrong.join("\n"));
        }
        Ok(verdicts.into_keys().collect())
    }

    fn play(&self, per: &str, cases: &[String]) -> Result<BTreeMap<String, Verdict>> {
        let dir = std::env::temp_dir().join(format!("tracer-zoo-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let results = dir.join("results.ndjson");
        let mut command =
            sh::command("python3", &["zoo.py", "--strict-rays", "--exec-per", per, "--exec", &self.command]);
        command.args(self.sight.then_some("--tls-rays"));
        command.current_dir(self.zoo).arg("--workdir").arg(dir.join("run")).arg("--out").arg(&results).args(cases);
        // Its exit status does not know the judge's verdict: the results do.
        command.status().context("starting python3 zoo.py")?;
        let text = fs::read_to_string(&results).with_context(|| format!("reading {}", results.display()))?;
        let verdicts: Result<BTreeMap<_, _>> = text.lines().map(read_verdict).collect();
        let verdicts = verdicts?;
        // What a failed case leaves (packets, logs, events) is what one looks at next.
        if verdicts.values().all(|verdict| matches!(verdict, Verdict::Right)) {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        } else {
            println!("what was seen is in {}", dir.display());
        }
        if verdicts.is_empty() {
            bail!("the zoo ran no case");
        }
        Ok(verdicts)
    }
}

/// What a result of the zoo says of the tracer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fully right.
    Right,
    /// The zoo could not stage the failure as it declares it: says nothing about the tracer.
    NotStaged(String),
    /// The tracer was wrong, or died, or the case was skipped.
    Wrong(String),
}

/// A case and its verdict, from a line of results.
pub(crate) fn read_verdict(line: &str) -> Result<(String, Verdict)> {
    let result: Value = serde_json::from_str(line).context("reading a result of the zoo")?;
    let case = result["case"].as_str().context("a result of the zoo without a case")?.to_owned();
    Ok((case, verdict(&result)))
}

fn verdict(result: &Value) -> Verdict {
    let problems: Vec<&str> = result["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let told = problems.join("; ");
    match result["status"].as_str().unwrap_or("no status") {
        "pass" if result["judge"]["full_ok"] == true => Verdict::Right,
        "pass" => Verdict::Wrong(result["judge"]["summary"].as_str().unwrap_or("not judged").to_owned()),
        // A tracer that did not start, was not ready or died is an error of the case in the zoo's eyes.
        "fail" | "error" if problems.iter().any(|problem| problem.contains("the tracer")) => Verdict::Wrong(told),
        "fail" | "error" => Verdict::NotStaged(told),
        status => Verdict::Wrong(format!("{status} {}", result["why"].as_str().unwrap_or(&told))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_passed_case_that_is_fully_right_is_right() {
        assert_eq!(verdict(&json!({"status": "pass", "judge": {"full_ok": true}})), Verdict::Right);
        let wrong = verdict(&json!({"status": "pass", "judge": {"full_ok": false, "summary": "1 missing"}}));
        assert_eq!(wrong, Verdict::Wrong("1 missing".into()));
        assert_eq!(verdict(&json!({"status": "pass"})), Verdict::Wrong("not judged".into()));
    }

    #[test]
    fn a_skipped_case_is_wrong() {
        assert_eq!(verdict(&json!({"status": "skip", "why": "no nginx"})), Verdict::Wrong("skip no nginx".into()));
    }

    #[test]
    fn only_the_zoos_own_failures_are_repeated() {
        let own = json!({"status": "fail", "problems": ["tcpdump dropped 3 packets"]});
        assert_eq!(verdict(&own), Verdict::NotStaged("tcpdump dropped 3 packets".into()));
        let tracer =
            json!({"status": "error", "problems": ["RuntimeError: the tracer exited with 1 before it was ready: x"]});
        assert!(matches!(verdict(&tracer), Verdict::Wrong(_)));
    }
}
