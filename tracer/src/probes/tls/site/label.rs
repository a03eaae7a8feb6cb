//! The key-log function of a C or C++ library, found through the labels that it is called with. Its own name is not in
//! a stripped file; the labels are, since the function writes them.

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, OpAccess, Register};
use memchr::memmem;

use super::elf::Image;
use super::types::NotFound;

/// The label of a TLS 1.2 master secret: a constant argument in every library.
const MAIN: &str = "CLIENT_RANDOM";
/// Labels of TLS 1.3, of which at least one is a constant argument too.
const OTHERS: [&str; 6] = [
    "EXPORTER_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "CLIENT_EARLY_TRAFFIC_SECRET",
];
/// Places of one label, and instructions that load one; more are refused.
const PLACES: usize = 64;
const LOADS: usize = 256;
/// What looks like a load; more is refused. Node has 0.2 million.
const LOOKALIKES: usize = 4 << 20;
/// How far behind a load its call is.
const BYTES: u64 = 80;
const INSTRUCTIONS: usize = 16;

/// `lea rsi, [rip + i32]` and `mov esi, i32`, without the four bytes.
const LEA_RSI: [u8; 3] = [0x48, 0x8d, 0x35];
const MOV_ESI: u8 = 0xbe;

/// The function.
pub(super) struct Found {
    pub(super) address: u64,
    /// Two labels lead to it.
    pub(super) confirmed: bool,
}

/// Whether the file holds the label at all.
pub(super) fn stands_in(file: &[u8]) -> bool {
    memmem::find(file, MAIN.as_bytes()).is_some()
}

/// Finds the function that every label leads to.
pub(super) fn find(image: &Image<'_>) -> Result<Found, NotFound> {
    let mains = places(image, MAIN)?;
    if mains.is_empty() {
        return Err(NotFound::NoLibrary);
    }
    let others = other_places(image)?;
    let loads = loads(image, |address| mains.contains(&address) || others.contains(&address))?;
    let mut from_main = BTreeSet::new();
    let mut from_others = BTreeSet::new();
    for (address, behind) in loads {
        let Some(callee) = callee(image, behind) else { continue };
        if mains.contains(&address) { &mut from_main } else { &mut from_others }.insert(callee);
    }
    let both: Vec<u64> = from_main.intersection(&from_others).copied().collect();
    match (&both[..], from_main.len()) {
        (&[address], _) => Ok(Found { address, confirmed: true }),
        ([], 0) => Err(NotFound::NoCall),
        // No label of TLS 1.3 contradicts it.
        ([], 1) if from_others.is_empty() => {
            Ok(Found { address: *from_main.first().ok_or(NotFound::NoCall)?, confirmed: false })
        }
        _ => Err(NotFound::Several),
    }
}

/// The addresses of a label. It may be the end of a longer one: linkers keep one copy of both.
fn places(image: &Image<'_>, label: &str) -> Result<BTreeSet<u64>, NotFound> {
    let text = [label.as_bytes(), &[0]].concat();
    let places: Vec<usize> = memmem::find_iter(image.bytes(), &text).take(PLACES + 1).collect();
    if places.len() > PLACES {
        return Err(NotFound::Several);
    }
    Ok(places.into_iter().flat_map(|place| image.addresses(place as u64)).collect())
}

/// The addresses of [`OTHERS`], by what they have in common: one search through the file, not one for each.
fn other_places(image: &Image<'_>) -> Result<BTreeSet<u64>, NotFound> {
    const COMMON: &str = "_SECRET";
    let bytes = image.bytes();
    let mut places = BTreeSet::new();
    for place in memmem::find_iter(bytes, COMMON).take(LOOKALIKES) {
        for label in OTHERS {
            let Some(start) = label.find(COMMON).and_then(|before| place.checked_sub(before)) else { continue };
            let rest = bytes.get(start..).unwrap_or_default();
            if rest.starts_with(label.as_bytes()) && rest.get(label.len()) == Some(&0) {
                places.insert(start);
            }
        }
    }
    if places.len() > PLACES * OTHERS.len() {
        return Err(NotFound::Several);
    }
    Ok(places.into_iter().flat_map(|place| image.addresses(place as u64)).collect())
}

/// Every load of such an address into the register of a second argument: the address, and where the code goes on.
fn loads(image: &Image<'_>, wanted: impl Fn(u64) -> bool) -> Result<Vec<(u64, u64)>, NotFound> {
    let mut found = Vec::new();
    let mut lookalikes = 0;
    for (base, code) in image.code() {
        for place in memmem::find_iter(code, &LEA_RSI).take(LOOKALIKES) {
            lookalikes += 1;
            let Some(value) = i32_at(code, place + LEA_RSI.len()) else { break };
            let behind = base.wrapping_add(place as u64 + 7);
            let address = behind.wrapping_add_signed(i64::from(value));
            if wanted(address) && found.len() <= LOADS {
                found.push((address, behind));
            }
        }
        if image.fixed {
            for place in memchr::memchr_iter(MOV_ESI, code).take(LOOKALIKES) {
                lookalikes += 1;
                let Some(value) = i32_at(code, place + 1) else { break };
                let address = u64::from(value.cast_unsigned());
                if wanted(address) && found.len() <= LOADS {
                    found.push((address, base.wrapping_add(place as u64 + 5)));
                }
            }
        }
        if found.len() > LOADS || lookalikes >= LOOKALIKES {
            return Err(NotFound::Several);
        }
    }
    Ok(found)
}

fn i32_at(code: &[u8], place: usize) -> Option<i32> {
    Some(i32::from_le_bytes(code.get(place..)?.first_chunk().copied()?))
}

/// The function that is called next, if the label is still its second argument then.
fn callee(image: &Image<'_>, from: u64) -> Option<u64> {
    let code = image.code_at(from, BYTES);
    let mut info = InstructionInfoFactory::new();
    for instruction in Decoder::with_ip(64, code, from, DecoderOptions::NONE).iter().take(INSTRUCTIONS) {
        match instruction.flow_control() {
            FlowControl::Call if instruction.is_call_near() => return Some(instruction.near_branch_target()),
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => return None,
        }
        let mut used = info.info(&instruction).used_registers().iter();
        let is_written = |access| !matches!(access, OpAccess::Read | OpAccess::CondRead);
        if used.any(|used| used.register().full_register() == Register::RSI && is_written(used.access())) {
            return None;
        }
    }
    None
}
