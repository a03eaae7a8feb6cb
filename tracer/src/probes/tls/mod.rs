//! Sight inside TLS: where the libraries of a server hand out a connection's secrets, and the probes that see them.

pub mod attach;
pub mod attacher;
pub mod libraries;
mod maps;
mod open;
pub mod secrets;
pub mod site;
