//! What each kernel makes of the programs: which hooks `tracer doctor` finds attached, and where the verifier refused
//! one, the end of its account.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::Result;

use super::fleet::{Fate, Fleet};
use super::job::{GUEST, Job};
use super::kernel::Ready;
use crate::architecture::Each;
use crate::sh;

/// Lines of the verifier's account that are kept: the last ones say what it disliked.
const KEPT: usize = 15;
/// The longest line that is shown in full.
const WIDTH: usize = 160;
const MEMORY_MIB: u64 = 1536;

/// Examines the kernels and shows what came of it.
pub(super) fn run(fleet: &Fleet, kernels: &[Ready], roots: &Each<PathBuf>) -> Result<()> {
    sh::heading(&format!("tracer doctor in virtual machines, {} at a time", fleet.at_once));
    let script = format!("cd /tmp\nexec {GUEST}/tracer doctor --verbose --log-level debug 2>&1\n");
    let job = Job { script, roots, memory_mib: MEMORY_MIB, folder: None };
    let done = fleet.run(kernels, &job, |_, findings: &mut Findings, line| findings.read(line))?;
    for (ready, (findings, fate)) in kernels.iter().zip(done) {
        println!("\n== Linux {} ({})\n{}", ready.kernel.name, ready.kernel.release, findings.text());
        if let Fate::Broken(why) = fate {
            println!("{why}; its console: {}", fleet.console(ready).display());
        }
        println!("the whole account: {}", fleet.log(ready).display());
    }
    Ok(())
}

/// What `tracer doctor` found on one kernel.
#[derive(Debug, Default)]
struct Findings {
    /// What it says at the end of hooks, programs and self-made failures.
    said: Vec<String>,
    refusals: Vec<Refusal>,
    /// The last lines.
    last: VecDeque<String>,
    /// The program whose refusal is being told.
    telling: Option<String>,
}

/// A program that the verifier refused, and the end of the verifier's account.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    program: String,
    account: Vec<String>,
}

impl Findings {
    fn read(&mut self, line: &str) {
        if ["✓ hook ", "✗ hook ", "✓ self-made", "✗ self-made", "✗ kernel programs"]
            .iter()
            .any(|mark| line.starts_with(mark))
        {
            self.said.push(line.to_owned());
            return;
        }
        let mut line = line;
        if let Some((_, refusal)) = line.split_once(" DEBUG] loading ") {
            let (program, why) = refusal.split_once(':').unwrap_or((refusal, ""));
            self.telling = Some(program.to_owned());
            self.last.clear();
            line = why.split_once("Verifier output: ").map_or(why, |(_, account)| account);
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.trim().to_owned());
        if line.trim_start().starts_with("processed ") {
            let account = self.last.drain(..).collect();
            self.refusals.extend(self.telling.take().map(|program| Refusal { program, account }));
        }
    }

    fn text(&self) -> String {
        let mut text = self.said.join("\n") + "\n";
        for Refusal { program, account } in &self.refusals {
            text += &format!("\n---- refused: {program} ----\n");
            for line in account {
                text.extend(line.chars().take(WIDTH));
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_end_of_the_verifiers_account() {
        let mut findings = Findings::default();
        findings.read("[2026-01-01T00:00:00Z DEBUG] loading tracepoint kfree_skb: refused (os error 13). Verifier output: 0: R1=ctx");
        for number in 0..40 {
            findings.read(&format!("    {number}: (bf) r1 = r2"));
        }
        findings.read("    combined stack size of 3 calls is 544. Too large");
        findings.read("    processed 19111 insns (limit 1000000)");
        findings.read("    : Permission denied (os error 13)");
        findings.read("✗ hook kfree_skb: refused");
        findings.read("✓ cause crash: can be told");
        assert_eq!(findings.said, ["✗ hook kfree_skb: refused"]);
        let [refusal] = &findings.refusals[..] else { panic!("{:?}", findings.refusals) };
        assert_eq!((refusal.program.as_str(), refusal.account.len()), ("tracepoint kfree_skb", KEPT));
        assert_eq!(refusal.account[KEPT - 2], "combined stack size of 3 calls is 544. Too large");
        findings
            .read("[2026-01-01T00:00:00Z DEBUG] loading x: refused. Verifier output: combined stack size. Too large");
        findings.read("    processed 7 insns (limit 1000000)");
        assert_eq!(
            findings.refusals[1].account,
            ["combined stack size. Too large", "processed 7 insns (limit 1000000)"]
        );
        assert!(findings.text().contains("\n---- refused: tracepoint kfree_skb ----\n27: (bf) r1 = r2\n"));
    }
}
