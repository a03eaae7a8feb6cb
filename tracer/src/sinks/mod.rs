//! Where verdicts go: streams of lines, metrics, the small web surface. Sinks take what is decided and decide nothing.

pub mod access;
mod api;
mod appender;
pub mod escape;
mod families;
mod gzip;
pub mod http;
pub mod journal;
mod labels;
pub mod metrics;
mod negotiate;
mod openmetrics;
mod page;
pub mod past;
#[cfg(test)]
pub(crate) mod sample;
pub mod stream;
mod style;
pub mod summary;
pub(crate) mod text;
pub(crate) mod told;
pub mod writer;
