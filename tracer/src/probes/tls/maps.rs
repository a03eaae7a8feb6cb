//! The files of which a process maps code, from its `/proc/PID/maps`. Paths in it are the process's own words.

use std::io::{self, BufRead};

/// Bytes of `maps` that are read, and files in it that are looked at. A process with more has its first ones seen.
const BYTES: u64 = 16 << 20;
const FILES: usize = 1_024;

/// One file of which code is mapped, by its first such mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// First address, and the one behind the last.
    pub(super) range: (u64, u64),
    /// Major and minor number.
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    /// As the process names it, below its own root; where a file was removed, with ` (deleted)` behind it.
    pub(super) path: Vec<u8>,
}

/// Each file once.
pub(super) fn executable(maps: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    for line in maps.take(BYTES).split(b'\n') {
        let Some(mapping) = mapping(&line?) else { continue };
        let is_known = found.iter().any(|one| (one.device, one.inode) == (mapping.device, mapping.inode));
        if !is_known {
            found.push(mapping);
        }
        if found.len() == FILES {
            break;
        }
    }
    Ok(found)
}

/// The mapping in a line, if it is one of a file's code.
fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (range, permissions, _offset, device, inode) = (field()?, field()?, field()?, field()?, field()?);
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let inode = inode.parse().ok().filter(|inode| *inode != 0)?;
    let mapping = Mapping {
        range: (hex(start)?, hex(end)?),
        device: (number(major)?, number(minor)?),
        inode,
        path: unescaped(fields.next()?.trim_ascii_start()),
    };
    (permissions.as_bytes().get(2) == Some(&b'x')).then_some(mapping)
}

/// The kernel writes a line feed in a path as `\012`.
fn unescaped(path: &[u8]) -> Vec<u8> {
    const ESCAPE: &[u8] = b"\\012";
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = memchr::memmem::find(rest, ESCAPE) {
        text.extend_from_slice(&rest[..at]);
        text.push(b'\n');
        rest = &rest[at + ESCAPE.len()..];
    }
    text.extend_from_slice(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
        00400000-00401000 r--p 00000000 fd:01 7 /usr/bin/a\n\
        00401000-00402000 r-xp 00001000 fd:01 7 /usr/bin/a\n\
        00402000-00403000 r-xp 00001000 fd:01 7 /usr/bin/a\n\
        7f0000000000-7f0000001000 r-xp 00000000 103:1a 4294967297                 /usr/lib/libssl.so.3 X (deleted)\n\
        7f0000001000-7f0000002000 r-xp 00000000 00:00 0 \n\
        7f0000002000-7f0000003000 rwxs 00000000 00:01 9                           /tmp/a\\012b\n\
        7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                           [vdso]\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                   [vsyscall]\n\
        not a mapping\n";

    #[test]
    fn code_of_files_is_found_once_each_and_a_path_is_the_rest_of_its_line() {
        let found = executable(MAPS.as_bytes()).unwrap();
        let mapping = |range, device, inode, path: &[u8]| Mapping { range, device, inode, path: path.to_vec() };
        assert_eq!(
            found,
            [
                mapping((0x40_1000, 0x40_2000), (0xfd, 1), 7, b"/usr/bin/a"),
                mapping(
                    (0x7f00_0000_0000, 0x7f00_0000_1000),
                    (0x103, 0x1a),
                    4_294_967_297,
                    b"/usr/lib/libssl.so.3 X (deleted)"
                ),
                mapping((0x7f00_0000_2000, 0x7f00_0000_3000), (0, 1), 9, b"/tmp/a\nb"),
            ]
        );
    }

    #[test]
    fn no_cut_of_a_line_panics() {
        for end in 0..MAPS.len() {
            assert!(executable(&MAPS.as_bytes()[..end]).is_ok());
        }
    }
}
