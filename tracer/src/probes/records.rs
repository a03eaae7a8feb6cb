//! The ring buffer as a stream of raw records.

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, RingBuf};
use tokio::io::unix::AsyncFd;

/// Records from the kernel, in the order in which each CPU made them.
pub struct Records(AsyncFd<RingBuf<MapData>>);

impl Records {
    pub(super) fn new(map: Map) -> Result<Self> {
        let ring = RingBuf::try_from(map).context("opening the ring buffer")?;
        Ok(Self(super::poll::ring(ring).context("polling the ring buffer")?))
    }

    /// Waits until there is something, then hands over at most `most` records.
    ///
    /// # Errors
    /// Where the ring buffer can't be polled.
    pub async fn next(&mut self, most: usize, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut guard = self.0.readable_mut().await.context("waiting for records")?;
        let ring = guard.get_inner_mut();
        for _ in 0..most {
            let Some(item) = ring.next() else {
                guard.clear_ready();
                break;
            };
            each(&item);
        }
        Ok(())
    }

    /// Hands over what is there now, without waiting.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let ring = self.0.get_mut();
        while let Some(item) = ring.next() {
            each(&item);
        }
    }
}
