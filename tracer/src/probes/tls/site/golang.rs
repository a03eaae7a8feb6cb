//! The key-log function of Go's `crypto/tls`, found through the function table that every Go binary carries, stripped
//! or not: <https://go.dev/src/runtime/symtab.go>.

use iced_x86::{Code, Decoder, DecoderOptions, Register};
use memchr::memmem;

use super::elf::Image;
use super::types::NotFound;

/// What logs a secret. Copies of the package under other paths serve QUIC alone.
const FUNCTION: &[u8] = b"\0crypto/tls.(*Config).writeKeyLog\0";
/// What a table begins with: its form, two zeros, instructions of any length, words of 8 bytes.
const MAGICS: [(u32, Form); 3] =
    [(0xffff_fff1, Form::Offsets), (0xffff_fff0, Form::Offsets), (0xffff_fffa, Form::Addresses)];
const REST: [u8; 4] = [0, 0, 1, 8];
/// Tables that are looked at. A binary has one; binaries that it carries as data have one each.
const TABLES: usize = 16;
/// Places of a word that are looked at: of the table's address there are a few.
const WORDS: usize = 64;
/// Searches of the whole file for a word. A binary takes one or two; a hostile file could ask for thousands.
const SEARCHES: u32 = 16;
/// `R_X86_64_RELATIVE`: how a position-independent file says what a word becomes.
const RELATIVE: u64 = 8;

/// How entries of the table name functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Go 1.18 and later: by 32-bit offsets from the start of the code.
    Offsets,
    /// Go 1.16 and 1.17: by address.
    Addresses,
}

/// Whether the file names the function at all.
pub(super) fn stands_in(file: &[u8]) -> bool {
    memmem::find(file, FUNCTION).is_some()
}

/// The address of the function, in a binary of Go's.
pub(super) fn find(image: &Image<'_>) -> Result<u64, NotFound> {
    let mut found = Vec::new();
    let mut refused = NotFound::NoLibrary;
    let mut searches = SEARCHES;
    for (magic, form) in MAGICS {
        let start = [&magic.to_le_bytes()[..], &REST].concat();
        for place in memmem::find_iter(image.bytes(), &start).take(TABLES) {
            let Some(table) = Table::read(image, place, form) else { continue };
            for entry in table.entries_of(FUNCTION) {
                let starts = if form == Form::Offsets { table.code_starts(image, &mut searches) } else { vec![0] };
                let addresses = starts.into_iter().filter_map(|start| start.checked_add(entry));
                let addresses: Vec<u64> = addresses.filter(|&address| image.code_offset(address).is_some()).collect();
                if !addresses.is_empty() {
                    refused = NotFound::OldGo;
                }
                found.extend(addresses.into_iter().filter(|&address| has_register_abi(image, address)));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [address] => Ok(address),
        [] => Err(refused),
        _ => Err(NotFound::Several),
    }
}

/// A function table, from its first byte to the end of the file.
struct Table<'a> {
    place: u64,
    form: Form,
    functions: usize,
    /// Where the code starts, if the file says so.
    text: Option<u64>,
    names: &'a [u8],
    entries: &'a [u8],
}

impl<'a> Table<'a> {
    fn read(image: &Image<'a>, place: usize, form: Form) -> Option<Self> {
        let bytes = image.bytes().get(place..)?;
        let word = |index: usize| {
            let word = bytes.get(8 + index * 8..)?.first_chunk::<8>()?;
            usize::try_from(u64::from_le_bytes(*word)).ok()
        };
        // Behind the number of functions and of files; the start of the code stands before them in the newer form.
        let offsets = if form == Form::Offsets { 3 } else { 2 };
        let names = bytes.get(word(offsets)?..word(offsets + 1)?)?;
        let entries = bytes.get(word(offsets + 4)?..)?;
        let text = if form == Form::Offsets { word(2).filter(|text| *text != 0).map(|text| text as u64) } else { None };
        let functions = word(0)?;
        let is_whole = functions.checked_mul(form.entry()).is_some_and(|len| len <= entries.len());
        is_whole.then_some(Self { place: place as u64, form, functions, text, names, entries })
    }

    /// Entries of the functions of this name, NULs around it: each says where the function is.
    fn entries_of(&self, name: &[u8]) -> Vec<u64> {
        // A NUL stands before every name: the first is the empty one.
        let Some(index) = memmem::find(self.names, name).and_then(|at| u32::try_from(at + 1).ok()) else {
            return Vec::new();
        };
        let size = self.form.entry();
        let entries = self.entries.chunks_exact(size).take(self.functions);
        let named = entries.filter_map(|entry| {
            let (function, place) = entry.split_at(size / 2);
            let info = self.entries.get(usize::try_from(unsigned(place)).ok()?..)?;
            let name = info.get(size / 2..)?.first_chunk::<4>()?;
            (u32::from_le_bytes(*name) == index).then(|| unsigned(function))
        });
        named.take(2).collect()
    }

    /// Where the code may start: as the table says, or the runtime's description of the module. Since Go 1.26 the table
    /// doesn't say, nor does it in position-independent files.
    fn code_starts(&self, image: &Image<'_>, searches: &mut u32) -> Vec<u64> {
        let mut starts: Vec<u64> = self.text.into_iter().collect();
        for table in image.addresses(self.place) {
            for place in words(image, table, searches) {
                starts.extend(image.addresses(place).filter_map(|module| image.word_at(module.checked_add(TEXT)?)));
                starts.extend(relocated(image, place, searches));
            }
        }
        starts.sort_unstable();
        starts.dedup();
        starts
    }
}

/// Of the member `text` in the runtime's description of a module, whose first member is the table's address.
const TEXT: u64 = 22 * 8;

/// Where the code starts, if the word here is the last of a relocation that makes up a module's first member.
fn relocated(image: &Image<'_>, place: u64, searches: &mut u32) -> Option<u64> {
    let bytes = image.bytes();
    let word = |at: u64| {
        let at = usize::try_from(at).ok()?;
        Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
    };
    if word(place.checked_sub(8)?)? != RELATIVE {
        return None;
    }
    let member = word(place.checked_sub(16)?)?.checked_add(TEXT)?;
    words(image, member, searches).into_iter().find_map(|at| (word(at + 8)? == RELATIVE).then(|| word(at + 16))?)
}

/// Where in the file a word stands.
fn words(image: &Image<'_>, word: u64, searches: &mut u32) -> Vec<u64> {
    let Some(left) = searches.checked_sub(1) else { return Vec::new() };
    *searches = left;
    memmem::find_iter(image.bytes(), &word.to_le_bytes()).take(WORDS).map(|at| at as u64).collect()
}

impl Form {
    /// Bytes of an entry in the list of functions.
    fn entry(self) -> usize {
        match self {
            Self::Offsets => 8,
            Self::Addresses => 16,
        }
    }
}

/// A little-endian number of 4 or 8 bytes.
fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether the function compares its stack with the limit in the goroutine that r14 names, as only functions do whose
/// arguments are in registers.
fn has_register_abi(image: &Image<'_>, function: u64) -> bool {
    let code = Decoder::with_ip(64, image.code_at(function, 48), function, DecoderOptions::NONE);
    code.into_iter().take(5).any(|instruction| {
        let compares = matches!(instruction.code(), Code::Cmp_r64_rm64 | Code::Cmp_rm64_r64);
        compares && instruction.memory_base() == Register::R14 && instruction.memory_displacement64() == 16
    })
}
