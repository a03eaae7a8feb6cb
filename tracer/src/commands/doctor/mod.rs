//! `tracer doctor`: can this host be traced, how well, what is missing, how to get it. Loads and attaches everything,
//! then makes a real reset and a real empty close on loopback and sees whether they arrive. Then looks for the usual
//! roots of a 520 on this host, which change nothing about the exit status.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tracer_common::limits;

use super::{runtime, start_log};
use crate::{
    cli::DoctorArgs,
    config::{RangeSource, Settings},
    decode::Event,
    diagnose::Cause,
    edge::EdgeRanges,
    exit::{DONE, UNTRACEABLE},
    host::{
        self,
        finding::{self, Finding},
    },
    probes::{Build, Depth, HookState, Kernel, LoadError, TESTED, TESTED_APART, TlsSources, needs, proc},
    sinks::escape,
    state::{Output, State},
};

/// Time for the self-made failures to arrive.
const PATIENCE: Duration = Duration::from_secs(3);

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
    /// What to do about it; `None`: nothing to do.
    mend: Option<String>,
}

impl Check {
    fn good(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: true, detail: detail.into(), mend: None }
    }

    fn bad(name: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: false, detail: detail.into(), mend: Some(mend.into()) }
    }
}

/// All that was looked at, and the verdict on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    traceable: bool,
    checks: Vec<Check>,
    /// The usual roots of a 520 on this host.
    host: Vec<Finding>,
}

/// Examines the host. Exit status 0 where it can be traced, 3 where it can't.
///
/// # Errors
/// Wrong use, or standard output can't be written to.
pub fn run(args: &DoctorArgs) -> Result<u8> {
    let config = args.check()?;
    start_log(&config.settings);
    let ranges = config.settings.edge_ranges()?;
    let mut report = runtime()?.block_on(examine(&config.settings, &ranges));
    let roots = host::examine(&config.settings, &ranges);
    report.host = roots.findings;
    let text = if config.json {
        escape::json(&serde_json::to_string(&report)?).into_owned() + "\n"
    } else {
        if !config.verbose {
            report.host = host::brief(report.host);
        }
        text(&report, config.verbose) + &finding::text(&roots.heading, &report.host)
    };
    // Colours go to a terminal alone, and not where NO_COLOR or CLICOLOR=0 asks for none.
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error).context("writing the report"),
        _ => {}
    }
    Ok(if report.traceable { DONE } else { UNTRACEABLE })
}

async fn examine(settings: &Settings, ranges: &EdgeRanges) -> Report {
    let mut checks = vec![kernel(), edge(settings, ranges), tables()];
    let traceable = match probe(settings).await {
        Ok(found) => {
            let seen = found.iter().all(|check| check.ok || !check.name.starts_with("self-made"));
            checks.extend(found);
            seen
        }
        Err(error) => {
            let mend = if error.is::<LoadError>() { "see above" } else { "run with --log-level debug and report it" };
            checks.push(Check::bad("kernel programs", format!("{error:#}"), mend));
            false
        }
    };
    Report { traceable, checks, host: Vec::new() }
}

fn kernel() -> Check {
    let name = rustix::system::uname();
    let [release, version, machine] =
        [name.release(), name.version(), name.machine()].map(|part| part.to_string_lossy());
    Check::good("kernel", about(&Build { release: &release, version: &version, machine: &machine }))
}

/// A kernel that nobody tested is no fault: what it lacks shows in the checks of the hooks and causes.
fn about(build: &Build) -> String {
    let real_time = if build.is_real_time() { " with PREEMPT_RT" } else { "" };
    let name = format!("{} {}{real_time}", build.release, build.machine);
    if build.is_tested() {
        return name;
    }
    let tested = TESTED.join(", ") + &format!("; with PREEMPT_RT and on aarch64 {TESTED_APART}");
    format!("{name}: not among the tested ones ({tested}); what it lacks is named below")
}

fn edge(settings: &Settings, ranges: &EdgeRanges) -> Check {
    let source = match &settings.ranges {
        RangeSource::BuiltIn => format!("built in, {}", crate::edge::BUILTIN_DATE),
        RangeSource::File(path) => path.display().to_string(),
    };
    let detail = format!("{} IPv4 and {} IPv6 ranges ({source})", ranges.count_ipv4(), ranges.count_ipv6());
    Check::good("edge ranges", detail)
}

fn tables() -> Check {
    let detail = format!(
        "{} connections ({} bytes each, and {} while open where the bytes are looked at), {} closed ones, {} ports, {} \
         processes, ring buffer {} KiB",
        limits::CONNECTIONS,
        size_of::<tracer_common::Place>(),
        size_of::<tracer_common::Heads>(),
        limits::CLOSED_CONNECTIONS,
        limits::PORTS,
        limits::OWNERS,
        limits::RING_BYTES / 1024
    );
    Check::good("tables", detail)
}

/// Loads, attaches, makes two failures and waits for their verdicts.
async fn probe(settings: &Settings) -> Result<Vec<Check>> {
    let mut kernel = Kernel::load(&TlsSources::default())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    let port = listener.local_addr()?.port();
    // Loopback plays the edge, on this one port.
    let loopback = EdgeRanges::parse("127.0.0.0/8", "loopback")?;
    kernel.set_ranges(&loopback)?;
    kernel.set_ports(&[port])?;
    let mut records = kernel.records()?;
    kernel.attach(if settings.payload { Depth::Payload } else { Depth::Connections })?;
    let mut checks: Vec<_> = kernel.probes.iter().map(hook).collect();
    checks.extend(kernel.layout.details().iter().map(detail));
    checks.extend(Cause::ALL.iter().map(|cause| visible(*cause, &kernel.probes, &kernel.layout)));
    let made = thread::spawn(move || failures(&listener, port));
    let mut state = State::new(loopback, kernel.layout.rst_reasons.clone(), std::collections::BTreeMap::new());
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < 2 {
        let mut events = Vec::new();
        // A short wait, since verdicts may be due without another record.
        let wait = deadline.min(Instant::now() + Duration::from_millis(100));
        let next = records.next(64, |bytes| events.extend(Event::decode(bytes).ok()));
        let arrived = timeout_at(wait, next).await;
        let clock = proc::clock();
        let mut outputs: Vec<_> = events.iter().flat_map(|event| state.handle(event, &clock)).collect();
        outputs.extend(state.expire(clock.monotonic_ns));
        seen.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Failure(diagnosis) => Some(diagnosis.cause),
            _ => None,
        }));
        if let Ok(arrived) = arrived {
            arrived?;
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    made.join().map_err(|_| anyhow::anyhow!("the thread that makes failures panicked"))?.context("making failures")?;
    for (name, cause) in [("self-made reset", Cause::AppReset), ("self-made empty reply", Cause::EmptyReply)] {
        checks.push(if seen.contains(&cause) {
            Check::good(name, format!("told as {cause}"))
        } else {
            let mend =
                "another BPF program or a security module may interfere; run with --log-level debug and report it";
            Check::bad(name, format!("made on loopback, but not told (told: {seen:?})"), mend)
        });
    }
    Ok(checks)
}

fn hook(probe: &crate::probes::Probe) -> Check {
    let name = format!("hook {}", probe.hook.name);
    match &probe.state {
        HookState::Attached => Check::good(&name, ATTACHED),
        HookState::Off => Check::good(&name, format!("switched off (--no-payload): {}", probe.hook.blurs)),
        HookState::Missing(why) => {
            Check::bad(&name, format!("{why}; without it: {}", probe.hook.blurs), "a newer kernel, or more privilege")
        }
    }
}

/// An argument that only newer kernels have. Its substitute does the work, so that its absence is no fault.
fn detail(detail: &crate::probes::Detail) -> Check {
    let found = if detail.present { THERE.to_owned() } else { format!("not on this kernel: {}", detail.instead) };
    Check::good(&format!("argument {}", detail.name), found)
}

/// Whether this host can show the cause.
fn visible(cause: Cause, probes: &[crate::probes::Probe], layout: &crate::probes::Layout) -> Check {
    let name = format!("cause {cause}");
    let lacks = needs::lacks(cause, probes);
    if lacks.is_empty() {
        return match needs::blind(cause, layout) {
            Some(why) => Check::bad(&name, format!("not told: {why}"), "a newer kernel, or more privilege"),
            None => Check::good(&name, TOLD),
        };
    }
    let off = lacks.iter().all(|(probe, _)| probe.state == HookState::Off);
    let why: Vec<_> = lacks.iter().map(|(probe, why)| format!("{} ({why})", probe.hook.name)).collect();
    let mend = if off { "leave out --no-payload" } else { "a newer kernel, or more privilege" };
    Check::bad(&name, format!("not told, or read as another: needs {}", why.join(", ")), mend)
}

/// An origin that resets its first connection and hangs up on the second, and the edge that asks it.
fn failures(listener: &TcpListener, port: u16) -> io::Result<()> {
    for abort in [true, false] {
        let mut edge = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        edge.set_read_timeout(Some(PATIENCE))?;
        edge.write_all(b"GET /doctor HTTP/1.1\r\nHost: tracer.invalid\r\nUser-Agent: tracer-doctor\r\n\r\n")?;
        let (mut origin, _) = listener.accept()?;
        let mut request = [0; 512];
        let _len = origin.read(&mut request)?;
        if abort {
            rustix::net::sockopt::set_socket_linger(&origin, Some(Duration::ZERO))?;
        }
        drop(origin);
        // A reset is an error here, a hang-up the end.
        let _gone = edge.read(&mut request);
    }
    Ok(())
}

/// What checks of a kind begin with, how many of them together are called, and what is said of one that is as usual.
const KINDS: [(&str, &str, &str); 3] =
    [("hook ", "hooks", ATTACHED), ("argument ", "arguments", THERE), ("cause ", "causes", TOLD)];
const ATTACHED: &str = "attached";
const THERE: &str = "there";
const TOLD: &str = "can be told";

/// The report for a terminal. Unless it is to be `verbose`, the checks of a kind that are as usual share a line.
fn text(report: &Report, verbose: bool) -> String {
    let mut out = String::new();
    let mut checks = &report.checks[..];
    while let Some((check, rest)) = checks.split_first() {
        let kind = KINDS.iter().find(|(begins, ..)| !verbose && check.name.starts_with(begins));
        let Some((begins, together, usual)) = kind else {
            out.push_str(&line(check));
            checks = rest;
            continue;
        };
        let (of_kind, rest) = checks.split_at(checks.iter().take_while(|one| one.name.starts_with(begins)).count());
        let (plain, special): (Vec<_>, Vec<_>) = of_kind.iter().partition(|one| one.ok && one.detail == *usual);
        let (count, all) = (plain.len(), of_kind.len());
        if special.is_empty() {
            out.push_str(&format!("✓ {together}: all {all} {usual}\n"));
        } else if count > 0 {
            out.push_str(&format!("✓ {together}: {count} of {all} {usual}\n"));
        }
        out.extend(special.into_iter().map(line));
        checks = rest;
    }
    out.push_str(if report.traceable { "this host can be traced\n" } else { "this host can't be traced\n" });
    out
}

fn line(check: &Check) -> String {
    let mark = if check.ok { '✓' } else { '✗' };
    let mend = check.mend.as_ref().map_or_else(String::new, |mend| format!("    → {mend}\n"));
    format!("{mark} {}: {}\n{mend}", check.name, check.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_outside_the_matrix_is_named_as_such() {
        let about = |release, version| about(&Build { release, version, machine: "x86_64" });
        assert_eq!(about("6.1.0-50-amd64", "#1 SMP"), "6.1.0-50-amd64 x86_64");
        assert_eq!(
            about("5.15.0-91-generic", "#1 SMP"),
            "5.15.0-91-generic x86_64: not among the tested ones (5.10, 6.1, 6.12, 6.18, 7.2; with PREEMPT_RT and on \
             aarch64 6.12); what it lacks is named below"
        );
        assert!(
            about("6.1.0-50-rt-amd64", "#1 SMP PREEMPT_RT").starts_with("6.1.0-50-rt-amd64 x86_64 with PREEMPT_RT: ")
        );
    }

    #[test]
    fn every_cross_carries_its_mend() {
        let checks = vec![Check::good("a", "fine"), Check::bad("b", "broken", "mend it")];
        let text = text(&Report { traceable: false, checks, host: Vec::new() }, false);
        assert_eq!(text, "✓ a: fine\n✗ b: broken\n    → mend it\nthis host can't be traced\n");
    }

    #[test]
    fn what_is_as_usual_takes_a_line_for_each_kind_and_all_else_is_there_in_full() {
        let fine = vec![
            Check::good("tables", "large"),
            Check::good("hook a", ATTACHED),
            Check::good("hook b", ATTACHED),
            Check::good("argument c", THERE),
            Check::good("cause d", TOLD),
            Check::good("cause e", TOLD),
            Check::good("self-made reset", "told"),
        ];
        let mut report = Report { traceable: true, checks: fine, host: Vec::new() };
        let short = [
            "✓ tables: large",
            "✓ hooks: all 2 attached",
            "✓ arguments: all 1 there",
            "✓ causes: all 2 can be told",
            "✓ self-made reset: told",
            "this host can be traced",
        ];
        assert_eq!(text(&report, false).lines().collect::<Vec<_>>(), short);
        let long = text(&report, true);
        assert_eq!(long.lines().count(), 8);
        assert!(long.contains("✓ hook a: attached\n✓ hook b: attached\n"), "{long}");
        report.checks[2] = Check::bad("hook b", "refused", "a newer kernel");
        report.checks[3] = Check::good("argument c", "not on this kernel: guessed");
        report.checks[5] = Check::bad("cause e", "not told: needs b", "a newer kernel");
        let odd = [
            "✓ tables: large",
            "✓ hooks: 1 of 2 attached",
            "✗ hook b: refused",
            "    → a newer kernel",
            "✓ argument c: not on this kernel: guessed",
            "✓ causes: 1 of 2 can be told",
            "✗ cause e: not told: needs b",
            "    → a newer kernel",
            "✓ self-made reset: told",
            "this host can be traced",
        ];
        assert_eq!(text(&report, false).lines().collect::<Vec<_>>(), odd);
    }
}
