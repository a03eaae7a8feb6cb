//! The search for the keys and the sequence number of a record: around a hint, then outwards, within a budget.
//!
//! A tag is 128 bits, so that 2^20 trials accept a wrong key or number with a chance of 2^-108 (AES-GCM without trial:
//! 2^-88, as the number may be any below 2^40). By its look a record is accepted from [`NEEDED`] bits on.

use std::iter;
use std::ops::Range;

use super::look::Look;
use super::protection::{Protection, Text};
use crate::tls::record::Record;

/// Numbers that are tried under one key.
pub(super) const REACH: u64 = 1 << 20;
/// Numbers that are tried under a key alone in TLS 1.2, where the tag is over the number, too.
const REACH_OF_KEYS: u64 = 4_096;
/// Numbers that are tried at once.
const RUN: u64 = 256;
/// Bytes that are hashed and deciphered in trials, for all keys together.
const WORK: u64 = 1 << 26;
/// The same for HMACs. A record of CBC can be read by its look, without its number.
const MAC_WORK: u64 = 1 << 23;
/// What one trial costs at least.
const TRIAL: u64 = 16;
/// Bytes that HMAC hashes beside the record.
const MAC_BLOCKS: u64 = 128;
/// What one trial costs where a block is 64 bytes.
const CHACHA_TRIAL: u64 = 64;
/// Bits by which a text must look right if one number only can be: a wrong one passes with a chance of 2^-40.
pub(super) const NEEDED_ONCE: u32 = 40;
/// The same for a search: [`WORK`] pays for 2^22 trials, so that one of them passes with a chance of 2^-42 at most.
const NEEDED: u32 = 64;
const _: () = assert!(WORK / TRIAL <= 1 << (NEEDED - NEEDED_ONCE));

/// What a search may still cost.
pub(super) struct Work {
    left: u64,
    macs: u64,
}

impl Work {
    pub(super) const fn new() -> Self {
        Self { left: WORK, macs: MAC_WORK }
    }

    /// Less, for keys that are a guess.
    pub(super) const fn for_derived() -> Self {
        Self { left: WORK / 16, macs: 0 }
    }

    /// `false`: it is used up.
    fn spend(&mut self, bytes: u64) -> bool {
        spend(&mut self.left, bytes)
    }
}

fn spend(left: &mut u64, bytes: u64) -> bool {
    let rest = left.checked_sub(bytes);
    *left = rest.unwrap_or_default();
    rest.is_some()
}

/// Where to search.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) hint: u64,
    /// How many numbers.
    pub(super) reach: u64,
}

impl Area {
    /// Runs of numbers, the nearest first, in turns above and below the hint.
    fn runs(self) -> impl Iterator<Item = Range<u64>> {
        let (mut low, mut high, mut left, mut up) = (self.hint, self.hint, self.reach, true);
        iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let len = RUN.min(left);
            let run = if up || low == 0 {
                let end = high.saturating_add(len);
                high..end
            } else {
                low.saturating_sub(len)..low
            };
            (low, high) = (low.min(run.start), high.max(run.end));
            up = !up;
            left -= len;
            Some(run)
        })
    }
}

/// A record that was opened: with which of the keys, its number and its text.
pub(super) struct Found {
    pub(super) keys: usize,
    pub(super) sequence: u64,
    pub(super) text: Text,
    /// Or else by its look.
    pub(super) by_tag: bool,
}

/// Opens a whole record by its tag.
pub(super) fn by_tag(
    keys: &[&Protection],
    record: &Record<'_>,
    area: Area,
    look: Look,
    work: &mut Work,
) -> Option<Found> {
    let open = |number: usize, sequence| {
        let text = keys[number].open(sequence, record)?;
        Some(Found { keys: number, sequence, text, by_tag: true })
    };
    for (number, protection) in keys.iter().enumerate() {
        let reach = if protection.suite.tls13 { 1 } else { area.reach.min(REACH_OF_KEYS) };
        if protection.lacks_iv() && !work.spend(record.len as u64 + CHACHA_TRIAL * reach) {
            return None;
        }
        let numbers = area.hint..area.hint.saturating_add(reach);
        let told = protection.sequence_of(record, numbers).and_then(|sequence| open(number, sequence));
        if told.is_some() {
            return told;
        }
    }
    // The cheap ones first: where the text looks right or its last byte can be a type.
    for is_cheap in [true, false] {
        for run in area.runs() {
            for (number, protection) in keys.iter().enumerate().filter(|(_, keys)| !keys.tells_number()) {
                for sequence in worth(protection, run.clone(), record, look, is_cheap, work)? {
                    if !work.spend(record.len as u64) {
                        return None;
                    }
                    if let Some(found) = open(number, sequence) {
                        return Some(found);
                    }
                }
            }
        }
    }
    None
}

/// The numbers for which the tag is worth a look; `None`: the work is used up.
fn worth(
    protection: &Protection,
    run: Range<u64>,
    record: &Record<'_>,
    look: Look,
    is_cheap: bool,
    work: &mut Work,
) -> Option<Vec<u64>> {
    if !is_cheap {
        // TLS 1.3 has told all there is by the last byte, and CBC has been tried.
        let is_left = !protection.suite.tls13 && protection.is_numbered();
        return Some(if is_left { run.collect() } else { Vec::new() });
    }
    if !protection.is_numbered() {
        // The text is the same under each number, but not its MAC.
        let is_worth = protection.may_open(record)
            && spend(&mut work.macs, (record.len as u64 + MAC_BLOCKS) * (run.end - run.start));
        return Some(if is_worth { run.collect() } else { Vec::new() });
    }
    if !work.spend(CHACHA_TRIAL * (run.end - run.start)) {
        return None;
    }
    if protection.suite.tls13 {
        let can_be_type = |sequence: &u64| matches!(protection.last_byte(*sequence, record), Some(0 | 21..=23));
        return Some(run.filter(can_be_type).collect());
    }
    let Some(heads) = protection.heads(run.clone(), record) else { return Some(Vec::new()) };
    Some(run.zip(heads.iter()).filter(|(_, head)| look(&head[..]) > 0).map(|(sequence, _)| sequence).collect())
}

/// Opens a record by the look of its text: one that was not kept whole, or one of CBC whose number was not found.
pub(super) fn by_look(
    keys: &[&Protection],
    record: &Record<'_>,
    area: Area,
    look: Look,
    work: &mut Work,
) -> Option<Found> {
    for (turn, run) in area.runs().enumerate() {
        for (number, protection) in keys.iter().enumerate() {
            let run = match protection.is_numbered() {
                true => run.clone(),
                false if turn == 0 => area.hint..area.hint.saturating_add(1),
                false => continue,
            };
            let cost = if protection.tells_number() { TRIAL } else { CHACHA_TRIAL };
            if !work.spend(cost * (run.end - run.start)) {
                return None;
            }
            let Some(heads) = protection.heads(run.clone(), record) else { continue };
            for (sequence, _) in run.zip(heads.iter()).filter(|(_, head)| look(&head[..]) > 0) {
                let Some(text) = protection.read(sequence, record) else { continue };
                if look(&text) >= NEEDED {
                    return Some(Found { keys: number, sequence, text, by_tag: false });
                }
            }
        }
    }
    None
}
