//! An ELF file as the kernel maps it: program headers alone, since section headers may be stripped or lie.

use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::types::NotFound;

/// Program headers of one file; more are refused. Linkers write about a dozen.
const SEGMENTS: usize = 64;

/// One `PT_LOAD`: `len` bytes at `offset` of the file are mapped at `address`.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    len: u64,
    executable: bool,
}

/// A file's bytes, and where they are mapped.
pub(super) struct Image<'a> {
    bytes: &'a [u8],
    headers: &'a [ProgramHeader64<LittleEndian>],
    segments: Vec<Segment>,
    machine: u16,
    /// Mapped at the addresses that stand in it, below 4 GiB as a rule: not position-independent.
    pub(super) fixed: bool,
}

/// How many bytes from the start of a file hold all that is mapped of it; `head` is its first 64 KiB, or all of it.
pub fn extent(head: &[u8]) -> Option<u64> {
    let (_, headers) = headers(head)?;
    headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_LOAD).try_fold(0, |end: u64, header| {
        Some(end.max(header.p_offset(LittleEndian).checked_add(header.p_filesz(LittleEndian))?))
    })
}

type Headers<'a> = (&'a FileHeader64<LittleEndian>, &'a [ProgramHeader64<LittleEndian>]);

fn headers(bytes: &[u8]) -> Option<Headers<'_>> {
    let header = FileHeader64::<LittleEndian>::parse(bytes).ok()?;
    header.endian().ok()?;
    let headers = header.program_headers(LittleEndian, bytes).ok()?;
    (headers.len() <= SEGMENTS).then_some((header, headers))
}

impl<'a> Image<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, NotFound> {
        let (header, headers) = headers(bytes).ok_or(NotFound::Malformed)?;
        let mut segments = Vec::new();
        for header in headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_LOAD) {
            let segment = Segment {
                offset: header.p_offset(LittleEndian),
                address: header.p_vaddr(LittleEndian),
                len: header.p_filesz(LittleEndian),
                executable: header.p_flags(LittleEndian) & elf::PF_X != elf::ProgramFlags::default(),
            };
            let end = segment.offset.checked_add(segment.len).ok_or(NotFound::Malformed)?;
            segment.address.checked_add(segment.len).ok_or(NotFound::Malformed)?;
            if end > bytes.len() as u64 {
                return Err(NotFound::Malformed);
            }
            segments.push(segment);
        }
        // Segments that name the same bytes again and again would make the search long.
        if segments.iter().map(|segment| segment.len).sum::<u64>() > bytes.len() as u64 * 2 {
            return Err(NotFound::Malformed);
        }
        let fixed = header.e_type(LittleEndian) == elf::ET_EXEC;
        Ok(Self { bytes, headers, segments, machine: header.e_machine(LittleEndian).0, fixed })
    }

    /// Refuses a machine whose code nothing here reads.
    pub(super) fn check_machine(&self) -> Result<(), NotFound> {
        if self.machine == elf::EM_X86_64.0 { Ok(()) } else { Err(NotFound::Architecture(self.machine)) }
    }

    /// All of the file.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The code, with its addresses.
    pub(super) fn code(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let executable = self.segments.iter().filter(|segment| segment.executable);
        executable.map(|segment| (segment.address, self.slice(segment.offset, segment.len)))
    }

    /// Every address at which a byte of the file is mapped.
    pub(super) fn addresses(&self, offset: u64) -> impl Iterator<Item = u64> {
        let here = self.segments.iter().filter_map(move |segment| {
            let within = offset.checked_sub(segment.offset).filter(|within| *within < segment.len)?;
            Some(segment.address + within)
        });
        here.collect::<Vec<_>>().into_iter()
    }

    /// Where in the file the instruction at an address is.
    pub(super) fn code_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.executable).find_map(|segment| segment.place(address))
    }

    /// The instructions at an address, at most `len` bytes of them.
    pub(super) fn code_at(&self, address: u64, len: u64) -> &'a [u8] {
        let found = self.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let offset = segment.place(address)?;
            Some(self.slice(offset, len.min(segment.offset + segment.len - offset)))
        });
        found.unwrap_or_default()
    }

    /// `len` bytes at an address.
    pub(super) fn data_at(&self, address: u64, len: u64) -> Option<&'a [u8]> {
        self.segments.iter().find_map(|segment| {
            let offset = segment.place(address)?;
            (len <= segment.offset + segment.len - offset).then(|| self.slice(offset, len))
        })
    }

    /// A 64-bit word at an address.
    pub(super) fn word_at(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.data_at(address, 8)?.try_into().ok()?))
    }

    /// The GNU build id, from the notes.
    pub(super) fn build_id(&self) -> Vec<u8> {
        let notes = self.headers.iter().filter_map(|header| header.notes(LittleEndian, self.bytes).ok().flatten());
        // A hostile file can hold a note every 12 bytes.
        let notes = notes.flat_map(|notes| notes.take(64).map_while(Result::ok));
        let ids =
            notes.filter(|note| note.name() == elf::ELF_NOTE_GNU && note.n_type(LittleEndian) == elf::NT_GNU_BUILD_ID);
        ids.map(|note| note.desc().iter().copied().take(64).collect()).next().unwrap_or_default()
    }

    /// Bytes of the file that a segment covers: `parse` saw that they are there.
    fn slice(&self, offset: u64, len: u64) -> &'a [u8] {
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        range.and_then(|(from, len)| self.bytes.get(from..from.checked_add(len)?)).unwrap_or_default()
    }
}

impl Segment {
    /// Where in the file an address of this segment is.
    fn place(&self, address: u64) -> Option<u64> {
        let within = address.checked_sub(self.address).filter(|within| *within < self.len)?;
        Some(self.offset + within)
    }
}
