//! What holds for one connection to the web surface.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use tokio_rustls::rustls::ServerConfig;

use super::users::Users;
use crate::config::Invalid;

/// What holds for one connection. The default: plain HTTP for everyone.
#[derive(Default)]
pub(in crate::sinks) struct Policy {
    /// `None`: plain HTTP.
    pub(in crate::sinks) tls: Option<Arc<ServerConfig>>,
    /// Whether clients must show a certificate.
    pub(in crate::sinks) asks_clients: bool,
    /// `None`: no password is asked for.
    pub(in crate::sinks) users: Option<Arc<Users>>,
    /// Header fields of every response.
    pub(in crate::sinks) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Policy {
    /// Refuses to open while running what was closed: a file that is just being written is empty for a moment.
    pub(super) fn stays_closed(&self, new: &Self) -> Result<(), Invalid> {
        let lost = match (self.tls.is_some() && new.tls.is_none(), self.users.is_some() && new.users.is_none()) {
            (true, _) => "TLS",
            (false, true) => "passwords",
            (false, false) if self.asks_clients && !new.asks_clients => "clients' certificates",
            (false, false) => return Ok(()),
        };
        Err(Invalid::new(format!("the web config would end the use of {lost}: restart tracer if that is meant")))
    }
}
