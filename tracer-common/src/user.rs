//! Userspace's traits for the shared types.

use crate::{Config, Conn, Distributions, Listener, ListenerKey, Owner, PortCounts, Tuple, event::*};

/// Marks types as readable from bytes and usable as map keys or values.
macro_rules! plain {
    ($($name:ident),+ $(,)?) => { $(
        // SAFETY: repr(C), integers and byte arrays only, padding spelt out: any bit pattern is a value.
        unsafe impl aya::Pod for $name {}
    )+ };
}

plain!(Attempt, Config, Conn, Distributions, Heads, LastSignal, Listener, ListenerKey, Owner, Place, PortCounts, Tuple);
