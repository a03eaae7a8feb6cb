//! aya's trait for the types that userspace reads from maps or writes to them.

use crate::{
    Attempt, Config, Conn, Distributions, Heads, KeysOf, LastSignal, Listener, ListenerKey, Owner, Place, PortCounts,
    TlsKeys, Tuple, trail::Trail,
};

/// Marks types as usable for map keys and values.
macro_rules! plain {
    ($($name:ident),+ $(,)?) => { $(
        // SAFETY: repr(C), integers and byte arrays only, padding spelt out: any bit pattern is a value.
        unsafe impl aya::Pod for $name {}
    )+ };
}

plain!(
    Attempt,
    Config,
    Conn,
    Distributions,
    Heads,
    KeysOf,
    LastSignal,
    Listener,
    ListenerKey,
    Owner,
    Place,
    PortCounts,
    TlsKeys,
    Trail,
    Tuple,
);
