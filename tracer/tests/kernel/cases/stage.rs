//! The lab itself, without an agent: a failure that it stages is the one that it says.

use anyhow::{Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{EDGE_A, EDGE_B, EDGE_C, EDGE_V6, End, Lab, STRANGER, Seen, procs, wait};

use super::{LIMIT, ORIGIN, answered, saw, successor, worker};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![lab_origin_fails_as_asked, lab_ports_fail_as_asked, lab_leaves_nothing_behind]
}

fn lab_origin_fails_as_asked() -> Result<()> {
    let lab = Lab::new()?;
    let memory = lab.memory_group(64 << 20)?;
    let origin = lab.start_origin(&Spec::new(80), Some(&memory))?;
    ensure!(procs::comm(worker(&origin)?).as_deref() == Some(ORIGIN), "the worker has another name");
    for from in [EDGE_A, EDGE_B, EDGE_C, EDGE_V6, STRANGER] {
        saw(lab.get(from, 80, "/ok")?, &[Seen::Complete(200)])?;
    }
    saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
    saw(lab.get(EDGE_A, 80, "/linger")?, &[Seen::Reset])?;
    saw(lab.get(EDGE_A, 81, "/")?, &[Seen::Refused])?;
    for path in ["/segv", "/abort", "/exit?code=3", "/self-kill", "/stuck", "/oom"] {
        for (query, outcome) in
            [("", Seen::Empty), (if path.contains('?') { "&sent=1" } else { "?sent=1" }, Seen::Partial)]
        {
            let old = worker(&origin)?;
            saw(lab.get(EDGE_A, 80, &format!("{path}{query}"))?, &[outcome])?;
            successor(&origin, old)?;
        }
    }
    for how in ["signal: 11", "signal: 6", "exit status: 3", "signal: 9"] {
        ensure!(origin.log().contains(how), "no worker ended by {how}: {}", origin.log());
    }
    ensure!(memory.oom_kills()? == 2, "{} OOM kills", memory.oom_kills()?);
    Ok(())
}

fn lab_ports_fail_as_asked() -> Result<()> {
    let lab = Lab::new()?;
    let modes = [(81, Mode::Close), (82, Mode::CloseUnread), (83, Mode::Reset)];
    let _origins: Vec<_> =
        modes.iter().map(|&(port, mode)| lab.start_origin(&Spec::new(port).mode(mode), None)).collect::<Result<_>>()?;
    ensure!(lab.connect(EDGE_A, 81)?.wait_end(LIMIT)? == End::Fin, "no FIN after accept");
    saw(lab.get(EDGE_A, 82, "/")?, &[Seen::Reset])?;
    saw(lab.get(EDGE_A, 83, "/")?, &[Seen::Reset])?;
    let _idle = lab.start_origin(&Spec::new(84).idle(LIMIT / 50), None)?;
    let mut conn = lab.connect(EDGE_A, 84)?;
    answered(&mut conn)?;
    ensure!(conn.wait_end(LIMIT)? == End::Fin, "no FIN after the idle timeout");
    Ok(())
}

fn lab_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new()?;
    let group = lab.memory_group(64 << 20)?;
    let origin = lab.start_origin(&Spec::new(80).workers(2), Some(&group))?;
    let pids: Vec<u32> = origin.workers().into_iter().chain([origin.pid()]).collect();
    let paths = [
        lab.dir().to_owned(),
        group.dir().to_owned(),
        format!("/run/netns/{}", lab.origin().name()).into(),
        format!("/run/netns/{}", lab.edge().name()).into(),
    ];
    ensure!(paths.iter().all(|path| path.exists()) && pids.iter().all(|&pid| procs::alive(pid)), "not all is there");
    drop((origin, group, lab));
    wait::until_true("the processes to end", LIMIT, || pids.iter().all(|&pid| !procs::alive(pid)))?;
    for path in paths {
        ensure!(!path.exists(), "{} is still there", path.display());
    }
    Ok(())
}
