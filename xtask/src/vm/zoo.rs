//! The failure zoo on several kernels: its cases, its witnesses and its judge, all inside the machines.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::fleet::{Fate, Fleet};
use super::job::{GUEST, Job};
use super::kernel::Ready;
use crate::architecture::Each;
use crate::sh;
use crate::zoo::{RUN, Verdict, read_verdict};

/// One case at least for each cause that can be staged without a look into TLS, and some in which nothing fails.
const CASES: [&str; 34] = [
    "app_reset_linger0",
    "closed_before_request",
    "closed_unread_post",
    "crash_segv",
    "crash_segv_mid_response",
    "empty_reply_fin",
    "empty_reply_nginx_444",
    "exit_1",
    "firewall_drop_established",
    "firewall_drop_nft",
    "firewall_drop_output",
    "firewall_reject_nft",
    "haproxy_silent_drop",
    "headers_too_large",
    "keepalive_race_crossing",
    "keepalive_race_nginx",
    "killed_sigkill",
    "listen_overflow",
    "listener_closed",
    "malformed_no_status_line",
    "oom_worker",
    "port_closed",
    "request_stalled_zero_window",
    "reset_mid_body",
    "response_stalled",
    "response_timeout",
    "supervisor_kill_gunicorn",
    "tls_hello_dropped",
    "tls_to_plain_port_nginx",
    "truncated_body_chunked",
    "truncated_headers",
    "healthy_nginx",
    "healthy_client_aborts",
    "tcp_health_checks",
];
/// Servers, captures and Python want more than the tests do.
const MEMORY_MIB: u64 = 3072;
/// Before each of the zoo's results.
const RESULT: &str = "zoo result: ";
/// Before each line of the archive of what the zoo wrote.
const KEPT: &str = "zoo kept: ";

/// Runs the cases, or these, and fails unless all are fully right.
pub(super) fn run(fleet: &Fleet, kernels: &[Ready], roots: &Each<PathBuf>, zoo: &Path, cases: &[String]) -> Result<()> {
    sh::heading(&format!("zoo in virtual machines, {} at a time", fleet.at_once));
    let zoo = zoo.canonicalize().with_context(|| format!("finding {}", zoo.display()))?;
    let job = Job { script: script(&zoo, cases), roots, memory_mib: MEMORY_MIB, folder: Some(&zoo) };
    let since = Instant::now();
    let read = |ready: &Ready, day: &mut Day, line: &str| {
        if !day.read(line) {
            println!("{:>10} {:>5.0} s  {line}", ready.kernel.name, since.elapsed().as_secs_f64());
        }
    };
    let mut wrong = Vec::new();
    for (ready, (day, fate)) in kernels.iter().zip(fleet.run(kernels, &job, read)?) {
        let kernel = ready.kernel.name;
        let mut found = day.judge(&fate)?;
        if !found.is_empty() {
            let kept = fleet.cache.join(format!("{kernel}.zoo.tar.gz"));
            day.keep(&kept)?;
            found.push(format!("what the zoo saw there: {}", kept.display()));
        }
        wrong.extend(found.into_iter().map(|line| format!("  {kernel}: {line}")));
    }
    ensure!(wrong.is_empty(), "not every case of the zoo is fully right:\n{}", wrong.join("\n"));
    sh::heading("every case of the zoo fully right on every kernel");
    Ok(())
}

/// Runs the zoo with one tracer for all cases: its start is the most expensive part.
fn script(zoo: &Path, cases: &[String]) -> String {
    let folder = zoo.file_name().unwrap_or_default().to_string_lossy();
    let cases = if cases.is_empty() { CASES.join(" ") } else { format!("'{}'", cases.join("' '")) };
    format!(
        "cd {GUEST}/{folder}\n\
         export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n\
         python3 zoo.py --exec-per run --ready-timeout 120 --settle-max 10 --workdir /tmp/zoo --out /tmp/results \
         --exec '{GUEST}/tracer {RUN}' {cases} 2>&1\n\
         sed 's/^/{RESULT}/' /tmp/results\n\
         tar -cz -C /tmp --exclude=certs zoo | base64 | sed 's/^/{KEPT}/'\n"
    )
}

/// What a machine told of its zoo.
#[derive(Debug, Default)]
struct Day {
    results: Vec<String>,
    /// The archive, in base64.
    kept: String,
}

impl Day {
    /// Takes in a line; `false`: it is for the reader.
    fn read(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix(RESULT) {
            self.results.push(result.to_owned());
        } else if let Some(part) = line.strip_prefix(KEPT) {
            self.kept += part;
            self.kept.push('\n');
        } else {
            return false;
        }
        true
    }

    /// What is not right.
    fn judge(&self, fate: &Fate) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for line in &self.results {
            match read_verdict(line)? {
                (_, Verdict::Right) => {}
                (case, Verdict::NotStaged(why)) => wrong.push(format!("{case}: the zoo could not stage it: {why}")),
                (case, Verdict::Wrong(why)) => wrong.push(format!("{case}: {why}")),
            }
        }
        match fate {
            Fate::Broken(why) => wrong.push(why.clone()),
            Fate::Ended(_) if self.results.is_empty() => wrong.push("the zoo ran no case".into()),
            Fate::Ended(_) => {}
        }
        Ok(wrong)
    }

    /// Keeps what the zoo wrote.
    fn keep(&self, to: &Path) -> Result<()> {
        let file = File::create(to).with_context(|| format!("making {}", to.display()))?;
        let mut decoder = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(file).spawn()?;
        decoder.stdin.take().context("base64 has no standard input")?.write_all(self.kept.as_bytes())?;
        ensure!(decoder.wait()?.success(), "what the zoo wrote did not come through");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_right_if_every_case_is_and_the_job_came_to_its_end() {
        let mut day = Day::default();
        assert!(!day.read("PASS  empty_reply_fin  1.3s"));
        assert!(day.read(r#"zoo result: {"case":"a","status":"pass","judge":{"full_ok":true}}"#));
        assert_eq!(day.judge(&Fate::Ended(0)).unwrap(), Vec::<String>::new());
        assert_eq!(day.judge(&Fate::Broken("stopped".into())).unwrap(), ["stopped"]);
        assert!(day.read(r#"zoo result: {"case":"b","status":"fail","problems":["no RST"]}"#));
        assert_eq!(day.judge(&Fate::Ended(0)).unwrap(), ["b: the zoo could not stage it: no RST"]);
    }

    #[test]
    fn a_day_without_a_case_is_wrong() {
        assert_eq!(Day::default().judge(&Fate::Ended(0)).unwrap(), ["the zoo ran no case"]);
    }
}
