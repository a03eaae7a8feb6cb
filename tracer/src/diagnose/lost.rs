//! What an edge can be left without.

use super::{Attempt, handshake::Broken};

/// What the edge was left without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its connection attempt was refused.
    Refused,
    /// Nobody had accepted the connection.
    Unaccepted,
    /// Its request met a connection that the origin had closed.
    Late,
    /// The connection was reset before the request came.
    Fresh,
    /// No byte of a response.
    Unanswered,
    /// Part of the response's header section.
    Head,
    /// The whole header section and part of the body.
    Body,
    /// What it got is no response.
    Malformed,
    /// A header section above its limit.
    TooLarge,
    /// No byte of a response in time.
    Waited,
    /// A response that stopped: in its header section, in its body.
    StalledHead,
    StalledBody,
    /// Its request could not be written.
    NotRead,
    /// The connection, without a packet: with no response, or within it.
    Vanished,
    VanishedInBody,
    /// What was sent to it, on its way there.
    Reply,
    /// No response on its stream of HTTP/2, which was reset or could not be read.
    Stream,
    /// The TLS handshake.
    Handshake(Broken),
    /// Its packets.
    Attempt(Attempt),
}
