//! Sight inside TLS: where the libraries of a server hand out a connection's secrets, the probes that see them, and the
//! key log that a server writes itself.

pub mod attach;
pub mod attacher;
pub mod keylog;
pub mod libraries;
mod maps;
mod open;
pub mod secrets;
pub mod site;
pub mod sizes;
pub mod system;
pub mod trails;
