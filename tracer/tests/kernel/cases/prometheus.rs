//! What is shipped for Prometheus and Grafana, proven by a real Prometheus: the rules, and every query of the
//! dashboard.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::sys::{Stats, enable_stats};
use lab::wait;
use serde_json::{Value, json};

use crate::agent::{Agent, free_address, retire, run_command};
use crate::prometheus::{Answer, Incident, OPTIONS, Prometheus, SOON, View, installed, promtool};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![
        promtool_takes_the_rules_and_their_tests,
        prometheus_answers_every_query_of_the_dashboard,
        prometheus_scrapes_over_tls_with_a_password,
    ]
}

/// Alerts that fire within the test: those that wait for nothing.
const FIRE: [&str; 2] = ["TracerOomKill", "TracerCrash"];

fn promtool_takes_the_rules_and_their_tests() -> Result<()> {
    installed()?;
    let rules = ["tracer.rules.yml", "tracer.alerts.yml"];
    promtool(&[&["check", "rules", "--lint=all", "--lint-fatal"], &rules[..]].concat())?;
    promtool(&["check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"])?;
    promtool(&["test", "rules", "tests/failures.yml", "tests/origin_errors.yml", "tests/itself.yml"])?;
    Ok(())
}

fn prometheus_answers_every_query_of_the_dashboard() -> Result<()> {
    installed()?;
    // The kernel measures its programs for as long as somebody holds this.
    let _measured = enable_stats(Stats::RunTime).context("enabling the kernel's statistics of BPF programs")?;
    let incident = Incident::prepare()?;
    let mut agent = Agent::fresh(&OPTIONS)?;
    let prometheus = Prometheus::start(agent.listen())?;
    let view = View::from_now(&prometheus);
    let asked = |expr: &str| prometheus.ask("query", &[("query", expr)]);
    // Counters of zero, without which the first failure is no increase.
    wait::until_true("the first scrapes", SOON, || {
        asked("min_over_time(tracer_failures_total[1m]) == 0").is_ok_and(|data| Answer::of(&data) == Answer::Flat)
    })?;
    incident.sound()?;
    let ray = incident.happen()?;
    incident.sound()?;
    view.every_cause_is_there().map_err(|error| anyhow!("{error:#}\nthe records:\n{:?}", agent.events()))?;
    let view = view.with_variables()?;
    view.panels()?;
    view.annotations()?;
    view.exemplars(&ray)?;
    rules(&prometheus)?;
    println!("every query ran against Prometheus {}", prometheus.version()?);
    agent.stop()
}

/// Every rule is loaded and evaluates, the recordings have values, and the alerts that wait for nothing fire.
fn rules(prometheus: &Prometheus) -> Result<()> {
    let loaded = || -> Result<Vec<Value>> {
        let data = prometheus.ask("rules", &[])?;
        let groups = data["groups"].as_array().into_iter().flatten();
        Ok(groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).cloned().collect())
    };
    let shipped = ["tracer.rules.yml", "tracer.alerts.yml"].map(|file| ["check", "rules", file]);
    let counts = shipped.iter().map(|args| -> Result<usize> {
        let said = promtool(args)?;
        let count = said.split("SUCCESS: ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.with_context(|| format!("no number of rules: {said}"))
    });
    let wanted: usize = counts.sum::<Result<_>>()?;
    wait::until("every rule to be evaluated", SOON, || {
        let rules = loaded()?;
        ensure!(rules.len() == wanted, "{} rules are loaded, {wanted} are shipped", rules.len());
        if let Some(broken) = rules.iter().find(|rule| rule["health"] == "err") {
            bail!("a rule that fails: {broken}");
        }
        Ok(rules.iter().all(|rule| rule["health"] == "ok").then_some(()))
    })?;
    for record in loaded()?.iter().filter(|rule| rule["type"] == "recording") {
        let name = record["name"].as_str().context("a recording without a name")?;
        let data = prometheus.ask("query", &[("query", name)])?;
        ensure!(Answer::of(&data) == Answer::Moves, "{name} has no value: {data}");
    }
    for name in FIRE {
        wait::until(&format!("{name} to fire"), SOON, || {
            let firing = |rule: &Value| rule["name"] == name && rule["state"] == "firing";
            Ok(loaded()?.iter().any(firing).then_some(()))
        })?;
    }
    Ok(())
}

/// A tracer that only a Prometheus with the authority's certificate and the password can scrape; killed when it goes
/// out of scope.
struct Secured {
    child: Child,
    listen: SocketAddr,
    dir: PathBuf,
}

impl Secured {
    const PASSWORD: &str = "correct horse";

    fn start() -> Result<Self> {
        retire()?;
        let dir = std::env::temp_dir().join(format!("tracer-secured-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(dir.join("site.pem"), made.cert.pem())?;
        fs::write(dir.join("site.key"), made.signing_key.serialize_pem())?;
        let hash = bcrypt::hash(Self::PASSWORD, 4)?;
        let web = format!(
            "tls_server_config: {{cert_file: site.pem, key_file: site.key}}\nbasic_auth_users: {{prometheus: {hash}}}\n"
        );
        fs::write(dir.join("web.yml"), web)?;
        fs::set_permissions(dir.join("site.key"), fs::Permissions::from_mode(0o600))?;
        fs::set_permissions(dir.join("web.yml"), fs::Permissions::from_mode(0o600))?;
        let listen = free_address()?;
        let log = File::create(dir.join("log"))?;
        let child = run_command(listen)
            .arg("--web-config")
            .arg(dir.join("web.yml"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting tracer")?;
        Ok(Self { child, listen, dir })
    }

    /// The shipped configuration with what this one asks for, and a job each that lacks the password or the
    /// certificate.
    fn jobs(&self, text: &str) -> String {
        let job = "  - job_name: tracer\n";
        let targets = &text[text.find(job).map_or(0, |at| at + job.len())..];
        let authority = format!("    tls_config: {{ca_file: {}}}\n", self.dir.join("site.pem").display());
        let password = format!("    basic_auth: {{username: prometheus, password: {}}}\n", Self::PASSWORD);
        let secured = format!("{job}    scheme: https\n{authority}{password}");
        let others = [
            ("no_password", format!("    scheme: https\n{authority}")),
            ("no_authority", format!("    scheme: https\n{password}")),
            ("no_tls", password.clone()),
        ];
        let others = others.map(|(name, how)| format!("  - job_name: {name}\n{how}{targets}"));
        text.replace(job, &secured) + &others.concat()
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn prometheus_scrapes_over_tls_with_a_password() -> Result<()> {
    installed()?;
    let tracer = Secured::start()?;
    let prometheus = Prometheus::start_with(tracer.listen, |text| tracer.jobs(text))?;
    let asked = |expr: &str| prometheus.ask("query", &[("query", expr)]);
    wait::until_true("a scrape of each job, one of them a success", SOON, || {
        asked("count(up) == 4 and sum(up) == 1").is_ok_and(|data| Answer::of(&data) == Answer::Moves)
    })?;
    let data = asked("up")?;
    let results = data["result"].as_array().context("no results")?;
    let mut up: Vec<_> = results.iter().map(|one| (&one["metric"]["job"], &one["value"][1])).collect();
    up.sort_by_key(|(job, _)| job.to_string());
    let wanted = json!([["no_authority", "0"], ["no_password", "0"], ["no_tls", "0"], ["tracer", "1"]]);
    let log = fs::read_to_string(tracer.dir.join("log")).unwrap_or_default();
    ensure!(json!(up) == wanted, "up: {up:?}\n{log}");
    Ok(())
}
