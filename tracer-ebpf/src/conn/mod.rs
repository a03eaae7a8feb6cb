//! Decides at each turn in a connection's life whether a request has failed: when one side closes or aborts it, and
//! when the edge's timeout passes.

pub mod ends;
pub mod kept;
pub mod snapshot;
