//! The life of a connection.

pub mod ends;
pub mod owed;
pub mod snapshot;
