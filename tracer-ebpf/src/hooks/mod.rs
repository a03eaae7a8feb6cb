//! One file per kernel subsystem.

pub mod conn;
pub mod packet;
pub mod payload;
pub mod process;
pub mod read;
pub mod reset;
pub mod seed;
