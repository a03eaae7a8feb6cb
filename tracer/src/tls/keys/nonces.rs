//! The nonces of one direction of TLS 1.3 of which only the key is known.
//!
//! A nonce is the direction's own one XOR the record's number (RFC 8446 §5.3). That of one record tells neither of the
//! two, so that of the next one several may be. With each nonce that is seen fewer numbers are left.

use super::gcm::Nonce;

/// Numbers that the first record may have, from the one on that it was given. Two of these have any 12 bits at their
/// end, and differ in the bit before them: if all foretell the same nonce, so does any other number.
const ANY: u16 = 1 << 13;

/// How sure it is which number a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sureness {
    /// It is the one that it was given.
    Sure,
    /// At most so many records came before those that were counted.
    Within(u16),
    Unsure,
}

pub(super) struct Nonces {
    fixed: [u8; 4],
    /// The number that the first record was given, and the rest of its nonce.
    number: u64,
    rest: u64,
    /// What may have to be added to the numbers that records are given.
    shifts: Vec<u16>,
}

impl Nonces {
    /// The nonce of one record, which was given this number.
    pub(super) fn new(number: u64, nonce: &Nonce, sureness: Sureness) -> Self {
        let (fixed, rest) = split(nonce);
        let shifts = match sureness {
            Sureness::Sure => 0..1,
            Sureness::Within(records) => 0..records.saturating_add(1).min(ANY),
            Sureness::Unsure => 0..ANY,
        };
        Self { fixed, number, rest, shifts: shifts.collect() }
    }

    /// The nonce of a further record. `false`: it contradicts what was seen.
    pub(super) fn see(&mut self, number: u64, nonce: &Nonce) -> bool {
        let (fixed, rest) = split(nonce);
        let (first, first_rest) = (self.number, self.rest);
        self.shifts.retain(|shift| foretold(first, first_rest, number, *shift) == rest);
        fixed == self.fixed && !self.shifts.is_empty()
    }

    /// Every nonce that this record may have, as far as they are few.
    pub(super) fn all_at(&self, number: u64) -> Vec<Nonce> {
        distinct(self.shifts.iter().map(|shift| foretold(self.number, self.rest, number, *shift)))
            .map(|rest| joined(self.fixed, rest))
            .collect()
    }

    /// The nonce of the record that has, or would have been given, this number. `None`: it may be one of several.
    pub(super) fn at(&self, number: u64) -> Option<Nonce> {
        let mut all = self.shifts.iter().map(|shift| foretold(self.number, self.rest, number, *shift));
        let rest = all.next()?;
        if !all.all(|other| other == rest) {
            return None;
        }
        Some(joined(self.fixed, rest))
    }
}

/// What the nonce of one record and that of the `behind`th after it may differ by, as far as these are few.
pub(super) fn differences(behind: u64) -> impl Iterator<Item = u64> {
    distinct((0..u64::from(ANY)).map(move |number| number ^ number.wrapping_add(behind)))
}

/// More are not worth a search: of records that are close to each other there are some dozens.
const FEW: usize = 1 << 12;

fn distinct(all: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    all.dedup();
    let few = all.len() <= FEW;
    all.into_iter().filter(move |_| few)
}

fn joined(fixed: [u8; 4], rest: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&fixed);
    nonce[4..].copy_from_slice(&rest.to_be_bytes());
    nonce
}

fn foretold(first: u64, rest: u64, number: u64, shift: u16) -> u64 {
    rest ^ first.wrapping_add(shift.into()) ^ number.wrapping_add(shift.into())
}

fn split(nonce: &Nonce) -> ([u8; 4], u64) {
    let [a, b, c, d, rest @ ..] = *nonce;
    ([a, b, c, d], u64::from_be_bytes(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nonce(own: u64, number: u64) -> Nonce {
        let mut nonce = [7; 12];
        nonce[4..].copy_from_slice(&(own ^ number).to_be_bytes());
        nonce
    }

    proptest! {
        #[test]
        fn what_is_foretold_is_the_truth(
            own in any::<u64>(),
            before in 0..40_000_u64,
            given in 0..10_u64,
            seen in proptest::collection::vec(0..200_u64, 0..8),
            asked in 0..300_u64,
        ) {
            // Records were given numbers from `given` on, and had them from `given + before` on.
            let mut nonces = Nonces::new(given, &nonce(own, given + before), Sureness::Unsure);
            for number in seen {
                let shown = nonce(own, given + before + number);
                if before < u64::from(ANY) {
                    prop_assert!(nonces.see(given + number, &shown));
                } else if !nonces.see(given + number, &shown) {
                    return Ok(());
                }
            }
            let (foretold, truth) = (nonces.at(given + asked), nonce(own, given + before + asked));
            prop_assert!(foretold.is_none_or(|foretold| foretold == truth), "{foretold:?}");
        }
    }

    #[test]
    fn a_sure_number_foretells_every_nonce_and_an_unsure_one_those_that_all_numbers_agree_on() {
        let sure = Nonces::new(0, &nonce(99, 0), Sureness::Sure);
        assert_eq!(sure.at(1000), Some(nonce(99, 1000)));
        let mut unsure = Nonces::new(0, &nonce(99, 5), Sureness::Unsure);
        assert_eq!((unsure.at(0), unsure.at(1)), (Some(nonce(99, 5)), None));
        assert!(unsure.all_at(1).contains(&nonce(99, 6)) && unsure.all_at(1).len() < 20);
        assert!((1..5).all(|number| unsure.see(number, &nonce(99, 5 + number))));
        assert_eq!((unsure.at(10), unsure.at(11)), (Some(nonce(99, 15)), None), "16 changes another bit");
        let mut few = Nonces::new(0, &nonce(99, 3), Sureness::Within(16));
        assert!(few.see(1, &nonce(99, 4)));
        assert_eq!(few.at(2), Some(nonce(99, 5)), "behind an even number only the last bit changes");
    }

    #[test]
    fn what_contradicts_is_known() {
        let mut nonces = Nonces::new(0, &nonce(99, 0), Sureness::Sure);
        assert!(!nonces.see(1, &nonce(99, 2)));
        assert_eq!(nonces.at(1), None);
    }
}
