//! What happens behind a proxy: the connections that owners of edge connections open to have requests answered.
//!
//! [`tcp`] follows their states, and the bytes that pass; [`unix`] does the same for unix sockets, of which the kernel
//! shows less. Healthy or not, nothing is told of them here: an answer of 5xx to the edge takes them along
//! (`exchange::origin_error`).

pub mod tcp;
pub mod traffic;
pub mod unix;
