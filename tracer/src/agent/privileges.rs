//! Gives up the capabilities that only the start takes.

use std::{io, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use log::{debug, warn};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Wanted for as long as the agent runs: paths of executables that are new to it; and where it was started with the
/// right to open files of any owner, to open them anew at SIGHUP.
const LATER: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_OVERRIDE);
/// Each capability that there is or may come to be.
const NUMBERS: std::ops::Range<u32> = 0..64;

/// Reduces this thread, and so every thread that it starts from now on, to what a running agent needs. `works` is what
/// the agent does all the time: before Linux 5.19, the kernel may want `CAP_BPF` of who only uses what is loaded.
///
/// Where the kernel wants yet more, or refuses, everything is kept: less privilege must not mean fewer verdicts.
pub(super) fn give_up(mut works: impl FnMut() -> Result<()> + Send) {
    for keep in [LATER, LATER | CapabilitySet::BPF] {
        match attempt(keep, &mut works) {
            Ok(()) => {
                match reduce(keep) {
                    Ok(kept) => debug!("of its capabilities the agent keeps {kept:?}"),
                    Err(error) => warn!("the agent keeps all its capabilities: giving them up failed: {error}"),
                }
                return;
            }
            Err(error) => debug!("keeping {keep:?} would not do: {error:#}"),
        }
    }
    warn!("the agent keeps all its capabilities: this kernel wants them for what it does all the time");
}

/// Reduces this thread to the one privilege that asking for tracked connections takes.
pub(super) fn keep_net_admin() -> Result<()> {
    let kept = reduce(CapabilitySet::NET_ADMIN).context("giving up capabilities")?;
    ensure!(kept == CapabilitySet::NET_ADMIN, "there is no CAP_NET_ADMIN");
    Ok(())
}

/// Reduces this thread to what it takes to open the very files that servers map: what every thread keeps, and
/// `CAP_CHECKPOINT_RESTORE` for those whose names are gone.
pub(super) fn keep_for_files() {
    keep_on_thread(LATER | CapabilitySet::CHECKPOINT_RESTORE);
}

/// Reduces this thread to what every thread keeps.
pub(super) fn keep_usual() {
    keep_on_thread(LATER);
}

fn keep_on_thread(keep: CapabilitySet) {
    match reduce(keep) {
        Ok(kept) => debug!("to open the servers' files there is {kept:?}"),
        Err(error) => warn!("a thread that opens the servers' files keeps all capabilities: {error}"),
    }
}

/// Reduces this process, which has one thread, to what attaching probes takes.
pub(super) fn keep_to_attach(needs: CapabilitySet) -> Result<()> {
    reduce(needs).context("giving up capabilities")?;
    Ok(())
}

/// Does the work with these capabilities, on a thread that ends.
fn attempt(keep: CapabilitySet, works: &mut (impl FnMut() -> Result<()> + Send)) -> Result<()> {
    let work = move || {
        reduce(keep).context("giving up capabilities")?;
        works()
    };
    thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("the trial panicked"))?
}

/// Gives up all but these, for good. What this thread keeps of them.
fn reduce(keep: CapabilitySet) -> io::Result<CapabilitySet> {
    // Nothing that might be executed gains them anew.
    set_no_new_privs(true)?;
    for number in NUMBERS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(capability) {
            // Takes CAP_SETPCAP, and a capability that this kernel knows.
            let _refused = remove_capability_from_bounding_set(capability);
        }
    }
    // Before 4.3 there is none.
    let _unknown = clear_ambient_capability_set();
    let kept = capabilities(None)?.permitted & keep;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_gives_up_is_gone_from_every_set() {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    let kept = reduce(LATER).unwrap();
                    assert!(LATER.contains(kept));
                    let sets = capabilities(None).unwrap();
                    assert_eq!((sets.effective, sets.permitted), (kept, kept));
                    assert!(sets.inheritable.is_empty());
                    assert!(reduce(CapabilitySet::all()).unwrap() == kept, "nothing comes back");
                })
                .join()
                .unwrap();
        });
    }

    #[test]
    fn a_thread_that_keeps_one_privilege_has_no_other() {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    let had = capabilities(None).unwrap().permitted.contains(CapabilitySet::NET_ADMIN);
                    assert_eq!(keep_net_admin().is_ok(), had);
                    assert!(CapabilitySet::NET_ADMIN.contains(capabilities(None).unwrap().permitted));
                })
                .join()
                .unwrap();
        });
    }

    #[test]
    fn a_trial_costs_the_thread_that_asks_for_it_nothing() {
        let before = capabilities(None).unwrap();
        attempt(CapabilitySet::empty(), &mut || Ok(())).unwrap();
        assert_eq!(capabilities(None).unwrap(), before);
        assert!(attempt(LATER, &mut || anyhow::bail!("no")).is_err());
    }
}
