//! The entry points of each kernel subsystem: read the arguments, call down.

pub mod inspect;
pub mod netfilter;
pub mod packets;
pub mod processes;
pub mod reads;
pub mod resets;
pub mod seed;
pub mod states;
