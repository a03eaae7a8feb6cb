//! Reproducible randomness: the same seed gives the same traffic plan (splitmix64).

use std::time::Duration;

/// A sequence of numbers that its seed decides.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The sequence number `stream` of the seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // Through the mixer first: as they are, neighbouring streams would be one sequence, shifted.
        Self(seed ^ Self(stream).next())
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A duration from `percent.start` to `percent.end` hundredths of `base`.
    pub(super) fn around(&mut self, base: Duration, percent: std::ops::Range<usize>) -> Duration {
        let share = percent.start + self.below(percent.len());
        base.mul_f64(share as f64 / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_sequence_again_and_streams_differ() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        let far = |stream| (0..100).scan(Rng::new(7, stream), |rng, _| Some(rng.next())).collect::<Vec<_>>();
        assert!(far(1).iter().all(|number| !far(2).contains(number)));
    }

    #[test]
    fn durations_stay_within_their_share() {
        let mut rng = Rng::new(1, 1);
        for _ in 0..1000 {
            let duration = rng.around(Duration::from_secs(10), 70..130);
            assert!((Duration::from_secs(7)..Duration::from_secs(13)).contains(&duration));
        }
    }
}
