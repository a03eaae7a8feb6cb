//! Small ELF files as a linker would write them, with what a finder of TLS libraries looks for.

/// Of the header's `e_type`: mapped at fixed addresses, or anywhere.
pub const FIXED: u16 = 2;
pub const ANYWHERE: u16 = 3;
/// Of the header's `e_machine`.
pub const X86_64: u16 = 62;
pub const AARCH64: u16 = 183;

/// Where the parts are mapped. Code stands at another place in the file than in memory, as linkers have it.
pub const DATA: u64 = 0x40_1000;
pub const CODE: u64 = 0x40_3000;
/// Where the code is in the file: behind the headers.
pub const CODE_OFFSET: u64 = 64 + 2 * 56;

/// A file of one executable and one readable segment.
#[must_use]
pub fn file(kind: u16, machine: u16, code: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [kind, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [0, 64, 0_u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64, 56, 2, 64, 0, 0_u16] {
        file.extend(half.to_le_bytes());
    }
    let (readable, executable) = (4_u32, 5_u32);
    for (flags, offset, address, len) in [
        (executable, CODE_OFFSET, CODE, code.len() as u64),
        (readable, CODE_OFFSET + code.len() as u64, DATA, data.len() as u64),
    ] {
        file.extend(1_u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [offset, address, address, len, len, 0x1000] {
            file.extend(word.to_le_bytes());
        }
    }
    file.extend(code);
    file.extend(data);
    file
}

/// Where the functions of [`calls`] begin in the code.
pub const FUNCTION: u64 = 0x40;

/// Code that calls a function of this body with the addresses of labels as second argument, position-independent; each
/// call stands `gap` bytes behind the load. The data holds the labels, a NUL behind each.
#[must_use]
pub fn calls(body: &[u8], labels: &[&str], gap: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut code = vec![0xcc; FUNCTION as usize];
    code.extend(body);
    code.resize(code.len().next_multiple_of(64), 0xcc);
    let mut data = Vec::new();
    for label in labels {
        let behind_load = CODE + code.len() as u64 + 7;
        code.extend([0x48, 0x8d, 0x35]);
        code.extend(near(behind_load, DATA + data.len() as u64));
        code.extend(gap);
        let behind_call = CODE + code.len() as u64 + 5;
        code.push(0xe8);
        code.extend(near(behind_call, CODE + FUNCTION));
        data.extend(label.as_bytes());
        data.push(0);
    }
    code.push(0xc3);
    (code, data)
}

/// The distance from the end of an instruction, as it stands in the instruction.
fn near(from: u64, to: u64) -> [u8; 4] {
    u32::try_from(to.wrapping_sub(from) & 0xffff_ffff).unwrap_or_default().to_le_bytes()
}

/// A function table of Go's, in the form of Go 1.20 and later: these functions, by name and offset from the start of
/// the code, which the table tells if `text` is not 0.
#[must_use]
pub fn go_table(functions: &[(&str, u32)], text: u64) -> Vec<u8> {
    let mut names = vec![0];
    let mut entries = Vec::new();
    let mut infos = Vec::new();
    let list = u32::try_from(functions.len() * 8 + 4).unwrap_or_default();
    for (name, offset) in functions {
        entries.extend(offset.to_le_bytes());
        entries.extend((list + u32::try_from(infos.len()).unwrap_or_default()).to_le_bytes());
        infos.extend(offset.to_le_bytes());
        infos.extend(u32::try_from(names.len()).unwrap_or_default().to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    entries.extend(u32::MAX.to_le_bytes());
    let header = 8 + 8 * 8_u64;
    let behind_names = header + names.len() as u64;
    let mut table = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let count = functions.len() as u64;
    for word in [count, 1, text, header, behind_names, behind_names, behind_names, behind_names] {
        table.extend(word.to_le_bytes());
    }
    table.extend(names);
    table.extend(entries);
    table.extend(infos);
    table
}
