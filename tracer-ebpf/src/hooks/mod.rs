//! One function per kernel hook, called from `main.rs`: reads the hook's arguments, decides whether the event
//! concerns an edge connection, and calls down into `conn`, `missing`, `exchange` and `tables`. No hook calls
//! another.

pub mod aes_keys;
pub mod connects;
pub mod inspect;
pub mod netfilter;
pub mod packets;
pub mod processes;
pub mod reads;
pub mod resets;
pub mod seed;
pub mod states;
pub mod synacks;
pub mod tls;
pub mod trails;
pub mod unix;
