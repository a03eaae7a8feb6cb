//! Requests of which a part never reaches the process: cut by the origin, or not read by it.

use std::time::Duration;

use anyhow::Result;
use lab::origin::Spec;
use lab::{EDGE_A, Lab, Seen};

use super::{LIMIT, ORIGIN, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![an_edge_that_resets_an_upload_that_is_not_read,]
}

/// A window that a small send buffer does not fill in one go.
const WINDOW: &str = "65536 65536 65536";

fn an_edge_that_resets_an_upload_that_is_not_read() -> Result<()> {
    let lab = Lab::new()?;
    lab.origin().sysctl("net/ipv4/tcp_rmem", WINDOW)?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    let agent = Agent::start(&["--write-timeout=1600ms"])?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send_with("POST", "/ignore", "Content-Length: 9000000\r\n", b"")?;
    origin.wait_asked("/ignore", 1, LIMIT)?;
    // Its clock has begun when the last bytes come, as a probe of the shut window.
    conn.write_until_stuck(Duration::from_millis(1600))?;
    let exchange = conn.exchange(Seen::Timeout);
    conn.abort()?;
    let want = Want::new(&exchange, "request_stalled", 524, "zero_window");
    check(agent, &lab, &[want.process(ORIGIN, worker(&origin)?).with("certainty", "certain")])
}
