//! The bytes of request and response, wherever they come from.

pub mod chunks;
pub mod early;
pub mod request;
pub mod response;
pub mod search;
pub mod section;
pub mod sniff;
pub mod verdict;
pub mod walk;
