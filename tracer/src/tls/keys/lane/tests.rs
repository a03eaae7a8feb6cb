//! Records of which parts were kept, with holes: what is opened stands where it says it stands.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::proptests::seal;
use super::super::{Label, Suite};
use super::*;

const HEADER: usize = 5;

/// Any text is taken for right: records are told by their tags.
fn any_text(_: &[u8]) -> u32 {
    1
}

fn secrets(secret: &[u8], suite: Option<Suite>) -> Secrets {
    let mut secrets = Secrets::new(suite);
    assert!(secrets.hold(Label::Traffic(Side::Origin), secret));
    secrets
}

/// The parts of a record's content that are kept of it: the first `head` bytes and the last `tail` ones, or all.
fn parts(number: usize, record: &[u8], head: usize, tail: usize) -> Vec<Part<'_>> {
    let content = &record[HEADER..];
    let part = |at: usize, bytes| Part {
        record: u32::try_from(number).unwrap(),
        len: content.len(),
        at,
        bytes,
        behind_gap: false,
        time: Duration::from_millis(7),
    };
    let ends = content.len() - tail.min(content.len());
    if head >= ends {
        return vec![part(0, content)];
    }
    let both = [part(0, &content[..head]), part(ends, &content[ends..])];
    both.into_iter().filter(|part| !part.bytes.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn text_stands_where_it_says(
        number in 0..3usize,
        secret in vec(any::<u8>(), 48),
        first in 0..3000u64,
        texts in vec(vec(any::<u8>(), 1..300), 1..12),
        kept in vec((0..350usize, 0..64usize, 0..8u8), 12),
        from_start in any::<bool>(),
    ) {
        let suite = Suite::all(true)[number];
        let secret = &secret[..suite.hash.len()];
        let pieces: Vec<_> = texts.iter().map(|text| (text.clone(), 0)).collect();
        let records = seal(suite, secret, first, &pieces);
        let mut all = Vec::new();
        let mut is_gap = false;
        for (number, (record, (head, tail, fate))) in records.iter().zip(&kept).enumerate() {
            // Now and then a record is missing, known by its number or not.
            if *fate == 0 {
                is_gap = true;
                continue;
            }
            let mut parts = parts(number, record, if *fate < 5 { 1000 } else { *head }, *tail);
            parts.iter_mut().for_each(|part| part.behind_gap = is_gap && *fate % 2 == 0);
            is_gap &= parts.is_empty();
            all.extend(parts);
        }
        let Some((runs, _)) = open_parts(Side::Origin, &all, &secrets(secret, Some(suite)), from_start, any_text) else {
            return Ok(());
        };
        let truth = texts.concat();
        let begins: Vec<usize> =
            texts.iter().scan(0, |at, text| Some(std::mem::replace(at, *at + text.len()))).collect();
        let mut at = from_start.then_some(0);
        for run in &runs {
            let known = match run.gap {
                Gap::None => at,
                Gap::Bytes(bytes) => at.map(|at| at + usize::try_from(bytes).unwrap()),
                Gap::Unknown => None,
            };
            if run.text.is_empty() {
                prop_assert!(std::ptr::eq(run, runs.last().unwrap()));
                continue;
            }
            let fits = |at: &usize| truth.get(*at..*at + run.text.len()) == Some(&run.text[..]);
            let found = match (run.gap, known) {
                (Gap::Unknown, _) => begins.iter().copied().find(fits),
                (_, Some(at)) => Some(at).filter(fits),
                (_, None) => None,
            };
            prop_assert!(found.is_some(), "{:?} at {known:?}", run.gap);
            at = found.map(|at| at + run.text.len());
        }
    }

    #[test]
    fn what_is_kept_whole_is_opened_whole(
        number in 0..3usize,
        secret in vec(any::<u8>(), 48),
        first in 0..3000u64,
        texts in vec(vec(any::<u8>(), 1..300), 1..12),
    ) {
        let suite = Suite::all(true)[number];
        let secret = &secret[..suite.hash.len()];
        let pieces: Vec<_> = texts.iter().map(|text| (text.clone(), 0)).collect();
        let records = seal(suite, secret, first, &pieces);
        let numbered = records.iter().enumerate();
        let all: Vec<_> = numbered.flat_map(|(number, record)| parts(number, record, 1000, 0)).collect();
        let (runs, _) = open_parts(Side::Origin, &all, &secrets(secret, None), true, any_text).unwrap();
        prop_assert!(runs.iter().all(|run| run.gap == Gap::None && run.time == Duration::from_millis(7)));
        let told: Vec<u8> = runs.iter().flat_map(|run| run.text.to_vec()).collect();
        prop_assert_eq!(told, texts.concat());
    }

    #[test]
    fn hostile_parts_do_no_harm(
        secret in vec(any::<u8>(), 48),
        given in vec((any::<u32>(), any::<u16>(), any::<u16>(), vec(any::<u8>(), 0..80), any::<bool>()), 0..20),
        number in 0..11usize,
    ) {
        let suite = Suite::all(true).iter().chain(Suite::all(false)).nth(number).copied();
        let mut secrets = Secrets::new(suite);
        for label in [Label::Master, Label::Traffic(Side::Origin)] {
            secrets.hold(label, &secret);
        }
        secrets.randoms([1; 32], [2; 32]);
        let mut parts = Vec::new();
        for (record, len, at, bytes, behind_gap) in &given {
            let (record, behind_gap) = (*record, *behind_gap);
            parts.push(Part { record, len: (*len).into(), at: (*at).into(), bytes, behind_gap, time: Duration::ZERO });
        }
        let _any = open_parts(Side::Origin, &parts, &secrets, false, any_text);
    }
}
