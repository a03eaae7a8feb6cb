//! The tables: every map, the types of their values, and one module for each table that takes more than a lookup.

pub mod connections;
pub mod counters;
pub mod desks;
pub mod edge;
pub mod heads;
pub mod keys;
pub mod maps;
pub mod processes;
pub mod suspects;
pub mod threads;
pub mod trails;
pub mod twins;
pub mod upstreams;
pub mod values;
