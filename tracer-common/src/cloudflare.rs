//! Cloudflare's own times and sizes, as its
//! [connection limits](https://developers.cloudflare.com/fundamentals/reference/connection-limits/) state them: the
//! defaults of the options, and what the doctor holds servers against.

use core::time::Duration;

/// How long the edge keeps trying to connect (522).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(19);
/// How long the edge waits for its request to be acknowledged (522).
pub const ACK_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the edge waits for a response, or for the next bytes of one (524).
pub const READ_TIMEOUT: Duration = Duration::from_secs(125);
/// How long the edge waits for room to write its request (524).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the edge keeps an idle connection for the next request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Ports on which the edge speaks HTTPS, to visitors and to the origin
/// ([network ports](https://developers.cloudflare.com/fundamentals/reference/network-ports/)).
pub const HTTPS_PORTS: [u16; 6] = [443, 2053, 2083, 2087, 2096, 8443];
/// Largest header section of a response that the edge takes, in bytes (520).
pub const HEADER_LIMIT: u32 = 131_072;
