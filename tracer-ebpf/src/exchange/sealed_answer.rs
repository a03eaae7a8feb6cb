//! Answers inside TLS: which of them are handed over, so that the agent reads whether they are errors of 5xx?
//!
//! No status can be seen. So what happens behind is the sign: an upstream connection of the exchange that failed, or
//! that brought an error itself. An error that the process makes up on its own has no such sign. For these a sample is
//! taken by size (`tables::suspects`).

use tracer_common::{Conn, conn_flags as flag, lost, sealed_answer, trail::spoken};

use crate::{
    emit,
    exchange::origin_error::may_tell,
    tables::{counters::count, maps::LOST, suspects, threads, trails},
};

/// Payload of the packets in which an answer to be sampled may begin, bytes. Shorter ones hold control frames; the
/// beginning of a long answer has the same size whatever it says.
const SHORTEST: u32 = 50;

/// A packet to the edge goes out on a sealed connection, in which an answer begins, or on HTTP/2 may begin.
#[inline(never)]
pub fn look(conn: *mut Conn, payload: u32) {
    // SAFETY: callers pass a live map value.
    let state = unsafe { &mut *conn };
    // The edge that has left gets no answer.
    let over = flag::PEER_FIN | flag::LEAVING | flag::UPGRADED | flag::ABORTED;
    if payload < SHORTEST || state.exchanges == 0 || state.flags & over != 0 {
        return;
    }
    let size = sealed_answer::name(state.port_slot, payload);
    let failed = suspects::behind(state.key, state.opened_ns);
    if failed != 0 {
        suspects::answered(state.key, state.flags & flag::TRAILED == 0 && !state.may_be_tickets());
    } else if !suspects::is_of_error_size(size) {
        if !may_sample(state) || !suspects::is_due(size) {
            return;
        }
        note_sample(state);
    }
    if state.flags & (flag::TRAILED | flag::H2) == flag::TRAILED {
        trails::learn(state);
    }
    let current = if state.flags & flag::TRAILED != 0 { threads::upstream(state.owner) } else { 0 };
    if !may_tell(sealed_answer::ANSWERS) || !emit::answer(state, size, current, failed) {
        count(&LOST, lost::ORIGIN_ERRORS);
    }
}

/// Whether one more answer of this connection may be handed over for its size alone. A connection of HTTP/2 has many.
#[inline(always)]
fn may_sample(conn: &mut Conn) -> bool {
    if conn.flags & flag::TRAILED == 0 {
        return true;
    }
    let found = trails::learn(conn) / spoken::FOUND;
    let Some(trail) = trails::of(conn) else { return conn.flags & flag::H2 == 0 };
    // SAFETY: a live map value.
    unsafe { (*trail).samples < sealed_answer::SAMPLES_OF_A_CONNECTION.wrapping_add(found) }
}

/// One more answer of this connection was handed over for its size alone.
#[inline(always)]
fn note_sample(conn: &mut Conn) {
    if let Some(trail) = trails::of(conn) {
        // SAFETY: a live map value, and the packets of one connection come one after the other.
        unsafe { (*trail).samples = (*trail).samples.wrapping_add(1) };
    }
}
