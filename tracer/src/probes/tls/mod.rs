//! Sight inside TLS: where a server's TLS library hands out a connection's secrets.

pub mod site;
