//! Who sent what ended an exchange.

use super::spelled::spelled;

spelled! {
    /// Who sent the RST, or the error code of HTTP/2.
    ResetBy {
        Firewall = "firewall",
        Origin = "origin",
        Edge = "edge",
    }
}
