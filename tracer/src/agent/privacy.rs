//! Keeps memory that may hold secrets of TLS sessions to this process: no core dump, no debugger of the same user, no
//! swap; and wipes what calls leave on the stack.

use log::{debug, warn};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};
use zeroize::Zeroize as _;

/// More of the stack than opening an exchange takes, bytes: a debug build uses some 20 KiB.
const STACK: usize = 128 << 10;

/// Makes this process one that is never dumped, and that none but root may trace or read.
pub(super) fn hide() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!("a core dump of this process may hold secrets of TLS sessions: {error}");
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        debug!("the limit of core dumps stays as it is: {error}");
    }
}

/// The same, and keeps all of its memory, that which it gets later too, out of swap.
pub(super) fn keep_memory() {
    hide();
    // Where what may be locked is limited, memory that is wanted beyond that would be refused for good.
    let unlimited = Rlimit { current: None, maximum: None };
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        debug!("the limit of locked memory stays as it is: {error}");
    }
    if getrlimit(Resource::Memlock).current.is_some() {
        warn!(
            "memory that holds secrets of TLS sessions may be swapped out: what may be locked is limited \
             (RLIMIT_MEMLOCK)"
        );
        return;
    }
    // On fault: what is never used takes no memory.
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        warn!("memory that holds secrets of TLS sessions may be swapped out: {error}");
    }
}

/// Overwrites what calls that have returned left on this thread's stack.
#[inline(never)]
pub(super) fn wipe_stack() {
    // Word by word, which takes an eighth of the time of bytes.
    let mut left = [0_u64; STACK / size_of::<u64>()];
    left.zeroize();
    std::hint::black_box(&mut left);
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_process_that_hides_can_not_be_dumped() {
        hide();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        // Its own threads still read what is there of it.
        std::thread::spawn(|| std::fs::read("/proc/self/maps").unwrap()).join().unwrap();
    }
}
