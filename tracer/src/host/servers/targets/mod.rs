//! Where each server passes requests on, by its configuration.

mod apache;
mod haproxy;
mod nginx;

pub(super) use apache::targets as apache;
pub(super) use haproxy::targets as haproxy;
pub(super) use nginx::targets as nginx;
