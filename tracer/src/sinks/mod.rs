//! Where verdicts go: streams of lines, metrics, the small web surface. Sinks take what is decided and decide nothing.

pub mod escape;
pub mod metrics;
//HTTP
//MET
//OM
//PAGE
#[cfg(test)]
mod sample;
//SNAP
pub mod stream;
pub mod summary;
mod text;
