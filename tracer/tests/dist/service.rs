//! What a service manager is told: the systemd unit, the container, the Kubernetes manifest, the sample configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use lab::unit;
use serde_json::Value;
use tracer::cli;

/// Highest exposure that the unit may have, in tenths.
const EXPOSURE: &str = "--threshold=25";

fn dist(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(file)
}

/// What Kubernetes and container tools call the unit's capabilities.
fn capabilities() -> BTreeSet<String> {
    let names = unit::capabilities().expect("the unit is sound");
    names.iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
}

#[test]
fn the_units_exposure_is_low() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--no-pager", "--offline=true", EXPOSURE]).arg(dist("systemd/tracer.service"));
    match command.output() {
        Ok(done) => {
            let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(done.status.success(), "{said}");
            assert!(said.contains("Overall exposure level for tracer.service"), "{said}");
        }
        Err(error) => {
            eprintln!("SKIPPED: the unit's exposure was not measured: systemd-analyze: {error} (./dev setup test)")
        }
    }
}

/// Sight inside TLS takes more than the unit grants; the unit with the drop-in for that must stay narrow, too.
#[test]
fn the_exposure_with_the_drop_in_for_sight_inside_tls_is_low() {
    let drop_in = fs::read_to_string(dist("systemd/tls-sight.conf")).unwrap();
    let (unit, rest) = unit::TEXT.split_once("\n[Install]").unwrap();
    let settings: String =
        drop_in.lines().filter(|line| !line.starts_with('[')).map(|line| format!("{line}\n")).collect();
    let dir = std::env::temp_dir().join(format!("tracer-unit-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let file = dir.join("tracer.service");
    fs::write(&file, format!("{unit}\n{settings}\n[Install]{rest}")).unwrap();
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["security", "--no-pager", "--offline=true", EXPOSURE]).arg(&file).output();
    fs::remove_dir_all(&dir).unwrap();
    match output {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
        Err(error) => eprintln!("SKIPPED: the exposure was not measured: systemd-analyze: {error} (./dev setup test)"),
    }
}

#[test]
fn the_drop_in_grants_what_it_bounds_and_the_packages_bring_it() {
    let drop_in = fs::read_to_string(dist("systemd/tls-sight.conf")).unwrap();
    let granted = |setting: &str| -> Vec<String> {
        let lines = drop_in.lines().map(|line| line.trim_start_matches("# "));
        lines.filter_map(|line| Some(line.strip_prefix(setting)?.strip_prefix('=')?.to_owned())).collect()
    };
    assert_eq!(granted("AmbientCapabilities"), ["CAP_CHECKPOINT_RESTORE", "CAP_SYS_ADMIN"]);
    assert_eq!(granted("AmbientCapabilities"), granted("CapabilityBoundingSet"));
    let manifest = include_str!("../../Cargo.toml");
    assert_eq!(manifest.matches("\"dist/systemd/tls-sight.conf\"").count(), 2, "in the .deb and in the .rpm");
}

#[test]
fn the_unit_names_no_setting_that_systemd_does_not_know() {
    // Where the binary is not installed, its path is the one complaint.
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--no-pager"]).arg(dist("systemd/tracer.service"));
    match command.output() {
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let ours = said.lines().filter(|line| line.contains("tracer.service") && !line.contains("/usr/bin/tracer"));
            assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
        }
        Err(error) => eprintln!("SKIPPED: the unit was not verified: systemd-analyze: {error} (./dev setup test)"),
    }
}

#[test]
fn the_sample_configuration_is_what_happens_without_one() {
    let parse = |words: &[&str]| {
        let cli::Command::Run(args) = cli::Cli::parse_from([&["tracer", "run"], words].concat()).command else {
            panic!("not run")
        };
        args
    };
    let sample = dist("tracer.toml");
    assert!(unit::exec_start().unwrap().ends_with("run --config /etc/tracer/tracer.toml"));
    let with = parse(&["--config", sample.to_str().unwrap()]).check().unwrap();
    assert_eq!(with.settings, parse(&[]).check().unwrap().settings);
}

#[test]
fn the_sample_configuration_shows_every_option_of_run() {
    let text = fs::read_to_string(dist("tracer.toml")).unwrap();
    let shown: Vec<&str> =
        text.lines().filter_map(|line| Some(line.strip_prefix("# ")?.split_once(" = ")?.0)).collect();
    let mut run = <cli::Cli as clap::CommandFactory>::command().find_subcommand("run").unwrap().clone();
    run.build();
    for option in run.get_arguments().filter_map(clap::Arg::get_long) {
        if !["config", "no-payload", "no-tls-sight", "help"].contains(&option) {
            assert!(shown.contains(&option), "{option}");
        }
    }
    // Each as it stands there is one that `run` takes.
    let dir = std::env::temp_dir().join(format!("tracer-sample-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let all: String = text
        .lines()
        .filter(|line| line.starts_with("# ") && line.contains(" = "))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    fs::write(dir.join("tracer.toml"), all).unwrap();
    let cli = cli::Cli::parse_from(["tracer", "run", "--config", dir.join("tracer.toml").to_str().unwrap()]);
    let cli::Command::Run(args) = cli.command else { panic!("not run") };
    let checked = args.check().map(|_| ());
    fs::remove_dir_all(&dir).unwrap();
    checked.unwrap();
}

#[test]
fn kubernetes_grants_what_the_unit_grants_and_shows_what_the_agent_reads() {
    let text = fs::read_to_string(dist("kubernetes/daemonset.yaml")).unwrap();
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    let pod = &manifest["spec"]["template"]["spec"];
    assert_eq!(manifest["kind"], "DaemonSet");
    assert_eq!(manifest["spec"]["selector"]["matchLabels"], manifest["spec"]["template"]["metadata"]["labels"]);
    assert_eq!((&pod["hostPID"], &pod["hostNetwork"]), (&true.into(), &true.into()));
    assert_eq!(pod["tolerations"][0], serde_json::json!({"operator": "Exists"}));
    let container = &pod["containers"][0];
    let context = &container["securityContext"];
    assert_eq!(context["privileged"], false);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added: BTreeSet<String> = serde_json::from_value(context["capabilities"]["add"].clone()).unwrap();
    assert_eq!(added, capabilities());
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/-/ready");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/-/healthy");
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert_eq!(volume["hostPath"]["path"], mount["mountPath"], "the host's path inside, too");
        assert_eq!(mount["readOnly"], true);
    }
    let mounted: Vec<_> =
        container["volumeMounts"].as_array().unwrap().iter().map(|mount| &mount["mountPath"]).collect();
    assert_eq!(mounted, ["/sys/kernel/btf", "/sys/fs/cgroup"]);
    // The container's arguments are those of the command line.
    let words = container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    cli::Cli::try_parse_from(std::iter::once("tracer").chain(words)).unwrap();
}

#[test]
fn the_container_is_told_to_run_with_what_the_unit_grants() {
    let text = fs::read_to_string(dist("container/Dockerfile")).unwrap();
    let granted: BTreeSet<String> =
        text.split_whitespace().filter_map(|word| word.strip_prefix("--cap-add=")).map(str::to_owned).collect();
    assert_eq!(granted, capabilities());
    let from: Vec<&str> = text.lines().filter(|line| line.starts_with("FROM")).collect();
    assert_eq!(from, ["FROM scratch"]);
}
