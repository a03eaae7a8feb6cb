//! Which sizes of answers inside TLS were errors of late: the kernel hands over every answer of such a size.

use std::collections::BTreeMap;

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use tracer_common::sealed_answer::{SOUND_IN_A_ROW, slot};

use crate::probes::object::take;

/// The kernel's table.
pub struct ErrorSizes {
    table: Array<MapData, u32>,
    marks: Marks,
}

impl ErrorSizes {
    pub(in crate::probes) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self { table: Array::try_from(take(ebpf, "ERROR_SIZES")?)?, marks: Marks::default() })
    }

    /// An answer of the size with this name was read.
    pub fn learn(&mut self, name: u32, is_error: bool) {
        if let Some(mark) = self.marks.learn(name, is_error) {
            // Not marked, a size counts as sound: its answers are handed over now and then.
            let _within_the_table = self.table.set(slot(name), &mark, 0);
        }
    }
}

/// Sizes that had errors of late: how many answers of each were sound in a row since. One for each slot of the table.
#[derive(Default)]
struct Marks(BTreeMap<u32, (u32, u32)>);

impl Marks {
    /// Returns what is to be written into the slot of this name, if anything is.
    fn learn(&mut self, name: u32, is_error: bool) -> Option<u32> {
        let slot = slot(name);
        let marked = self.0.get(&slot).filter(|(marked, _)| *marked == name).map(|(_, sound)| *sound);
        if is_error {
            // Of two sizes in one slot the later one counts.
            self.0.insert(slot, (name, 0));
            return marked.is_none().then_some(name);
        }
        let sound = marked? + 1;
        if sound < SOUND_IN_A_ROW {
            self.0.insert(slot, (name, sound));
            return None;
        }
        self.0.remove(&slot);
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_marked_by_an_error_until_enough_are_sound_in_a_row() {
        let mut marks = Marks::default();
        assert_eq!(marks.learn(700, false), None);
        assert_eq!(marks.learn(700, true), Some(700));
        assert_eq!(marks.learn(700, true), None);
        for _ in 1..SOUND_IN_A_ROW {
            assert_eq!(marks.learn(700, false), None);
        }
        assert_eq!(marks.learn(700, true), None);
        for _ in 1..SOUND_IN_A_ROW {
            assert_eq!(marks.learn(700, false), None);
        }
        assert_eq!(marks.learn(700, false), Some(0));
        assert_eq!(marks.learn(700, false), None);
    }

    #[test]
    fn of_two_sizes_in_a_slot_the_later_one_is_marked() {
        let mut marks = Marks::default();
        let other = (701..).find(|other| slot(*other) == slot(700)).unwrap();
        assert_eq!(marks.learn(700, true), Some(700));
        assert_eq!(marks.learn(other, true), Some(other));
        assert_eq!(marks.learn(700, false), None);
        assert_eq!(marks.learn(700, true), Some(700));
    }
}
