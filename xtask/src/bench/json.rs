//! What the measurements say, as one JSON object; units are in the names.

use serde_json::{Value, json};

use super::report::{Figures, Share, added, common, origins_end};
use super::values::Spread;
use super::{Args, Outcome};

/// Everything.
pub(super) fn object(args: &Args, outcomes: &[Outcome]) -> Value {
    let [ready, start_cpu] = common(outcomes);
    json!({
        "seconds": args.seconds,
        "pairs": if args.no_pairs { 0 } else { args.rounds },
        "ready_seconds": ready.json(),
        "start_cpu_seconds": start_cpu.json(),
        "results": outcomes.iter().map(|outcome| result(outcome, outcomes)).collect::<Vec<_>>(),
    })
}

fn result(outcome: &Outcome, outcomes: &[Outcome]) -> Value {
    let figures = Figures::of(outcome);
    let added = added(outcome, outcomes).map(|ratios| ratios.map(Spread::json));
    let programs = Share::all(outcome).map(|(name, Share { runs_per_request, gross, empty })| {
        let share =
            json!({ "runs_per_request": runs_per_request, "gross_ns_per_run": gross, "empty_ns_per_run": empty });
        (name.to_owned(), share)
    });
    json!({
        "workload": outcome.workload.name(),
        "level": outcome.level.name(),
        "requests_per_second_off": figures.rate_off.json(),
        "requests_per_second_on": figures.rate_on.json(),
        "requests_per_second_ratio": figures.rate_ratio.json(),
        "server_cpu_us_per_request_off": figures.cpu_off.json(),
        "server_cpu_us_per_request_on": figures.cpu_on.json(),
        "server_cpu_ratio": figures.cpu_ratio.json(),
        "bpf_net_ns_per_request": figures.net.json(),
        "server_cpu_ratio_sight_on_and_off": added,
        "bpf_net_ns_origins_end": origins_end(outcome, outcomes),
        "bpf_net_ns_limit": outcome.level.limit(outcome.workload),
        "bpf_gross_ns_per_request": figures.gross.json(),
        "bpf_runs_per_request": figures.runs.json(),
        "bpf_programs": programs.collect::<serde_json::Map<_, _>>(),
        "exchanges_per_request": figures.exchanges.json(),
        "connections_per_request": figures.connections.json(),
        "probe_hits_per_request": figures.hits.json(),
        "probes_paused": figures.paused,
        "records": outcome.records,
        "failures": figures.failures,
        "lost": figures.lost,
        "agent_cpu_seconds_per_second": figures.load.json(),
        "agent_rss_bytes": figures.rss.json(),
        "agent_rss_peak_bytes": figures.rss_peak.json(),
    })
}
