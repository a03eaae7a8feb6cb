//! Packets that vanish, or are refused, before a process can see them.

pub mod answers;
pub mod attempts;
pub mod refusals;
