//! Packets that never reach the process that serves the edge: dropped by netfilter, turned away by a full accept queue,
//! or refused with a RST.

pub mod answers;
pub mod attempts;
pub mod refusals;
