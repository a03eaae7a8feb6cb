//! The bytes of requests and responses as they pass: which exchange they belong to, what is kept of them for the
//! agent, and whether the response is whole.
//!
//! The way in is [`request`] for bytes from the edge and [`response`] for bytes to it. [`sniff`] finds out the
//! protocol, [`early`] handles data that arrives before the connection exists, and [`records`] follows the edge's TLS
//! records; [`hello`] reads what it offers. [`sealed`] and [`trail`] keep ciphertext where secrets are known. Of a
//! response, [`section`] and [`search`] find the end of the header section, [`chunks`] follows the body's chunks, and
//! [`verdict`] judges the whole by a [`walk`] over its header lines. [`origin_error`] counts those of 5xx, and
//! [`sealed_answer`] looks for such inside TLS.

pub mod chunks;
pub mod early;
pub mod hello;
pub mod origin_error;
pub mod records;
pub mod request;
pub mod response;
pub mod sealed;
pub mod sealed_answer;
pub mod search;
pub mod section;
pub mod sniff;
pub mod trail;
pub mod verdict;
pub mod walk;
