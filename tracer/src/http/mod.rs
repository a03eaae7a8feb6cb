//! What the bytes of requests and responses say, by version of HTTP.

mod gateway;
mod h1;
pub mod h2;

pub use gateway::{Section, UpstreamAnswer};
pub use h1::{
    Chunks, Exchange, Fault, Fields, Lacks, Progress, Request, Response, Seen, Unfinished, sizes, without_proxy_header,
};
