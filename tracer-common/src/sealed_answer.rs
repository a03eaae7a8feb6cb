//! Answers inside TLS whose status the kernel can't see: which of them it hands to the agent to be read.
//!
//! Answers of the same size from the same port are much alike: an error page has one size. So the kernel keeps, by
//! *size*, how often it has handed one over; and the agent marks sizes that turned out to be errors.

use crate::{Conn, Header, Heads, Upstream};

/// Sizes that are remembered. A power of two.
pub const SIZES: u32 = 4_096;

/// Answers of a size that are handed over at first, before the size counts as sound.
pub const FIRST_OF_A_SIZE: u32 = 2;

/// Answers a second that are handed over for their size alone, on all CPUs.
pub const SAMPLES: u64 = 50;

/// Answers of one HTTP/2 connection that are handed over for their size alone although the last ones were sound.
pub const SAMPLES_OF_A_CONNECTION: u32 = 8;

/// Answers in a row without an error, after which a size that had errors counts as sound again.
pub const SOUND_IN_A_ROW: u32 = 8;

/// The name of a size: the slot of the port's counters, and the payload in bytes of the packet in which the answer
/// began. Never 0.
#[inline(always)]
#[must_use]
pub const fn name(port_slot: u16, payload: u32) -> u32 {
    let largest = (1 << 17) - 1;
    ((port_slot as u32) << 17) | if payload < largest { payload + 1 } else { largest }
}

/// Where a size is remembered.
#[inline(always)]
#[must_use]
pub const fn slot(name: u32) -> u32 {
    name.wrapping_mul(0x9e37_79b1) >> (32 - SIZES.trailing_zeros())
}

shared! {
    /// An answer inside TLS that may be one of 5xx.
    pub struct AnswerRecord {
        pub header: Header,
        /// The [name](name) of its size.
        pub size: u32,
        /// Upstream connections that were opened or used for this exchange.
        pub tries: u32,
        pub conn: Conn,
        /// As in [`OriginRecord`](crate::OriginRecord). Of a connection that may speak HTTP/2: the upstream connection
        /// that the process has read from, or closed, last.
        pub upstream: Upstream,
        pub behind: Upstream,
        /// The upstream connection that failed last behind this connection, of late. Its key is 0: none did.
        pub failed: Upstream,
        /// Valid up to `conn.request_have` and `conn.response_have` bytes.
        pub heads: Heads,
    }
    size: 24 + size_of::<Conn>() + 3 * size_of::<Upstream>() + size_of::<Heads>()
}

#[cfg(test)]
mod tests {
    use super::{SIZES, name, slot};

    #[test]
    fn no_two_sizes_of_a_port_have_one_name_and_none_is_zero() {
        let mut last = 0;
        for port in [0, 1, 256] {
            for payload in 0..65_536 {
                let name = name(port, payload);
                assert!(name > last, "{port} {payload}");
                assert!(slot(name) < SIZES);
                last = name;
            }
        }
        assert_eq!(name(0, u32::MAX), (1 << 17) - 1);
    }

    #[test]
    fn sizes_that_lie_side_by_side_share_few_slots() {
        let mut taken = [0_u8; SIZES as usize];
        for payload in 100..1_124 {
            taken[slot(name(3, payload)) as usize] += 1;
        }
        assert!(taken.iter().filter(|sizes| **sizes > 0).count() > 1_000);
    }
}
