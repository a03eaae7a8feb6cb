//! Sight inside TLS: where the libraries of a server hand out a connection's secrets.

pub mod libraries;
mod maps;
mod open;
pub mod site;
