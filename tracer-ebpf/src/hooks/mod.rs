//! One file per kernel subsystem.

pub mod attempts;
pub mod chunks;
pub mod conn;
pub mod drop;
pub mod head;
pub mod inspect;
pub mod packet;
pub mod payload;
pub mod process;
pub mod read;
pub mod reset;
pub mod seed;
