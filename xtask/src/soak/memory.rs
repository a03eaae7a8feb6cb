//! Whether tracer's memory stays flat: the last tenth of the samples against the second.

/// How much more the last tenth may be: this share, or so many bytes.
const SHARE: f64 = 1.03;
const BYTES: f64 = 1024.0 * 1024.0;

/// Medians of the second and of the last tenth of the samples, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tenths {
    pub(super) second: f64,
    pub(super) last: f64,
}

impl Tenths {
    /// `None`: fewer than ten samples.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let tenth = samples.len() / 10;
        if tenth == 0 {
            return None;
        }
        Some(Self { second: median(&samples[tenth..2 * tenth]), last: median(&samples[samples.len() - tenth..]) })
    }

    /// Not more than a few percent or a megabyte above.
    pub(super) fn flat(self) -> bool {
        self.last <= (self.second * SHARE).max(self.second + BYTES)
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    fn the_start_does_not_count() {
        let mut samples = vec![20.0 * MIB; 100];
        samples[..10].fill(5.0 * MIB);
        let tenths = Tenths::of(&samples).unwrap();
        assert_eq!(tenths, Tenths { second: 20.0 * MIB, last: 20.0 * MIB });
        assert!(tenths.flat());
    }

    #[test]
    fn growth_above_both_limits_is_not_flat() {
        for (second, last, flat) in
            [(20.0, 21.0, true), (20.0, 21.1, false), (100.0, 103.0, true), (100.0, 103.1, false)]
        {
            assert_eq!(Tenths { second: second * MIB, last: last * MIB }.flat(), flat, "{second} {last}");
        }
    }

    #[test]
    fn too_few_samples_say_nothing() {
        assert_eq!(Tenths::of(&[1.0; 9]), None);
    }
}
