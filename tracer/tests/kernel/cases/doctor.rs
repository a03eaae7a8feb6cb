//! `tracer doctor` on a host that keeps the edge out: the rule, the queue and the server's settings are named.

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Nginx, NginxOptions};
use serde_json::Value;

use crate::agent::command;
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![
        doctor_names_what_keeps_the_edge_out_here,
        doctor_looks_into_other_network_namespaces,
        doctor_is_in_colour_only_where_it_is_wanted,
    ]
}

/// One range lost, one address banned, one unknown: everything else passes.
const RULES: &str = "table inet filter {
  set banned { type ipv4_addr; elements = { 162.158.90.4 } }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    ip saddr 104.16.0.0/13 tcp dport { 80, 443 } drop
    ip saddr @banned drop
    meta mark 7 drop
    tcp dport { 80, 443 } accept
    ip6 nexthdr 58 accept
  }
}
";
const HTTP: &str = "keepalive_timeout 15s; server { listen 80 backlog=64; listen [::]:80; return 444; }";

fn origin() -> Result<(Lab, Nginx)> {
    let lab = Lab::new()?;
    let nginx = Nginx::start(&lab, &NginxOptions { http: HTTP, ports: &[80], workers: 1, ..NginxOptions::default() })?;
    lab.origin().run("nft", &["-f", "-"], RULES)?;
    Ok((lab, nginx))
}

/// What it found on the host's side; it must not change the exit status.
fn found(output: &Output) -> Result<Vec<Value>> {
    ensure!(output.status.success(), "doctor ended with {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    Ok(report["host"].as_array().context("no array `host`")?.clone())
}

/// The finding of this name and status that mentions `seen`.
fn expect<'a>(findings: &'a [Value], name: &str, status: &str, seen: &str) -> Result<&'a Value> {
    let fits = |finding: &&Value| {
        finding["name"] == name
            && finding["status"] == status
            && finding["seen"].as_str().is_some_and(|text| text.contains(seen))
    };
    findings.iter().find(fits).with_context(|| format!("no {name:?} is {status} and says {seen:?} in {findings:#?}"))
}

fn doctor_names_what_keeps_the_edge_out_here() -> Result<()> {
    let (lab, nginx) = origin()?;
    let output = lab.origin().inside(|| command().args(["doctor", "--json"]).output())??;
    let findings = found(&output)?;
    let dropped = "ip saddr 104.16.0.0/13 tcp dport { 80,443 } drop (handle";
    let rule = expect(&findings, "firewall", "warn", dropped)?;
    ensure!(rule["seen"].as_str().is_some_and(|seen| seen.ends_with("keeps out 104.16.0.0/13 on :80")), "{rule}");
    expect(&findings, "firewall", "warn", "keeps out 162.158.90.4 (of 162.158.0.0/15) on :80")?;
    expect(&findings, "firewall", "unknown", "mark 7 drop")?;
    expect(&findings, "bans", "warn", "filter banned holds 162.158.90.4")?;
    let server = format!("nginx[{}]", nginx.pid());
    expect(&findings, "listen backlog", "warn", &format!("{server} on :80: 0 of at most 64 connections"))?;
    expect(&findings, &format!("{server} keep-alive"), "warn", "keepalive_timeout 15 s (")?;
    expect(&findings, &format!("{server} hang-ups"), "warn", "`return 444` (")?;
    for finding in &findings {
        ensure!(finding["status"] == "ok" || finding["advice"].is_string(), "no advice: {finding}");
        // The policy drops nothing of the edge that no rule before it names.
        ensure!(!finding["seen"].as_str().is_some_and(|seen| seen.contains("policy drop")), "{finding}");
    }
    Ok(())
}

fn doctor_looks_into_other_network_namespaces() -> Result<()> {
    let (lab, _nginx) = origin()?;
    let findings = found(&command().args(["doctor", "--json"]).output()?)?;
    let name = format!("firewall (network namespace {})", lab.origin().inode());
    expect(&findings, &name, "warn", "keeps out 104.16.0.0/13 on :80")?;
    Ok(())
}

fn doctor_is_in_colour_only_where_it_is_wanted() -> Result<()> {
    let coloured = |variables: &[(&str, &str)]| -> Result<bool> {
        let mut command = command();
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        let output = command.arg("doctor").envs(variables.iter().copied()).output()?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(text.contains("\nThis host, network namespace "), "{text}");
        Ok(text.contains('\u{1b}'))
    };
    ensure!(!coloured(&[])?, "colours in a pipe");
    ensure!(coloured(&[("CLICOLOR_FORCE", "1")])?, "no colours although they are forced");
    ensure!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])?, "colours in spite of NO_COLOR");
    Ok(())
}
