//! The kernel programs' parsers, compiled for this machine and held against the agent's.

mod responses;

use tracer_fuzz_targets::kernel::parse::{
    size_line::{FAR, LAST, LINE, NONE, UNKNOWN, chunk_line},
    words::{controls, equal, exact, lowest, may_be_controls, word},
};

/// What the kernel makes of a packet that begins with a size line.
fn read(packet: &[u8]) -> u64 {
    let mut bytes = [0; LINE];
    let have = packet.len().min(LINE);
    bytes[..have].copy_from_slice(&packet[..have]);
    let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
    chunk_line(half(0), half(8), have as u32)
}

/// Fails if the kernel is sure of a size line that the agent's parser does not see, or reads another size, or sees none
/// where the agent's parser is sure.
#[track_caller]
fn agrees(packet: &[u8]) {
    let (kernel, agent) = (read(packet), httparse::parse_chunk_size(packet));
    let shown = packet.escape_ascii();
    match (kernel, agent) {
        (UNKNOWN, _) => {}
        (NONE, Ok(httparse::Status::Complete(line))) => {
            // httparse takes an empty line for a size of 0, which the agent does not.
            assert!(!packet[0].is_ascii_hexdigit(), "{shown}: no size line for the kernel, {line:?} for the agent");
        }
        (NONE, _) => {}
        (LAST, Ok(httparse::Status::Complete((_, size)))) => assert_eq!(size, 0, "{shown}"),
        (far, Ok(httparse::Status::Complete((line, size)))) if far != FAR => {
            assert_eq!(far, line as u64 + size + 2, "{shown}")
        }
        (FAR, _) => {
            let digits = packet.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let size = std::str::from_utf8(&packet[..digits]).expect("digits");
            assert!(u128::from_str_radix(size, 16).expect("digits") >= 1 << 31, "{shown}");
        }
        (far, agent) => panic!("{shown}: {far} for the kernel, {agent:?} for the agent"),
    }
}

/// Every prefix, since a packet may end anywhere.
fn prefixes_agree(packet: &[u8]) {
    (1..=packet.len()).for_each(|len| agrees(&packet[..len]));
}

#[test]
fn the_kernel_reads_size_lines_as_the_agent_does() {
    let sizes = [
        "0",
        "00",
        "5",
        "1a",
        "FF",
        "cafe",
        "12345",
        "fffffff",
        "1234567",
        "0000000",
        "12345678",
        "123456789",
        "00000001",
        "000000010",
        "08000000",
        "080000000",
        "fffffffff",
        "0000000000000000",
        "00000000000000000",
        "ffffffffffffffffff",
    ];
    let extensions = ["", ";", ";a", ";a=b", ";a=\"b\"", " ", "\t", " ;a", ";\ra", " x", "\t\t;", ";a\r", "  \t   "];
    for size in sizes {
        for extension in extensions {
            for data in ["", "data", "\r\n\r\n", "\n\n"] {
                prefixes_agree(format!("{size}{extension}\r\n{data}").as_bytes());
                prefixes_agree(format!("{size}{extension}\n{data}").as_bytes());
            }
        }
    }
}

#[test]
fn the_kernel_sees_that_something_else_stands_where_a_size_belongs() {
    for line in ["", "HTTP/1.1 500 Internal Server Error\r\n", "\r\n", "xyz\r\n", "5z\r\n", "-1\r\n"] {
        prefixes_agree(line.as_bytes());
    }
    assert_eq!(read(b"HTTP/1.1 500\r\n"), NONE);
    assert_eq!(read(b"0\r\n\r\n"), LAST);
    assert_eq!(read(b"5\r\nhello\r\n"), 10);
    assert_eq!((read(b"Exception in thread \"main\""), read(b"5 x\r\n")), (NONE, NONE), "no line end, or a later one");
    assert_eq!((read(b"80000000\r\n"), read(b"080000000\r\n")), ((1 << 31) + 12, FAR));
    assert_eq!((read(b"0\r\r\n"), read(b"0;\ra\r\n"), read(b"000000001\r\n")), (UNKNOWN, UNKNOWN, UNKNOWN));
    assert_eq!((read(b"5\nhello"), read(b"5"), read(b"5\r")), (UNKNOWN, UNKNOWN, UNKNOWN));
}

#[test]
fn any_bytes_are_read_as_the_agent_reads_them() {
    // Characters that size lines are made of, in every order of up to five.
    const MADE_OF: &[u8] = b"05aF;= \t\r\nx";
    let count = MADE_OF.len();
    for len in 1..=5_u32 {
        for number in 0..count.pow(len) {
            let line: Vec<u8> = (0..len).map(|place| MADE_OF[number / count.pow(place) % count]).collect();
            agrees(&line);
        }
    }
}

#[test]
fn a_byte_is_found_at_its_first_place_in_a_word() {
    for at in 0..8 {
        let mut bytes = *b"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";
        bytes[at] = b'\n';
        assert_eq!(lowest(equal(u64::from_le_bytes(bytes), b'\n')), at as u64);
        bytes[at..].fill(b'\n');
        assert_eq!(lowest(equal(u64::from_le_bytes(bytes), b'\n')), at as u64);
    }
    assert_eq!(equal(u64::from_le_bytes(*b"\x0b\x8a\x09\x00\xff\x0b\x0b\x0b"), b'\n'), 0);
}

#[test]
fn kinds_of_bytes_are_marked_at_every_place_beside_every_other() {
    for byte in 0..=u8::MAX {
        let control = byte.is_ascii_control() && byte != b'\t';
        for beside in [b'a', b'\t', b'\n', b' ', b'.', 0x7f, 0x80, 0xff] {
            for at in 0..8 {
                let mut bytes = [beside; 8];
                bytes[at] = byte;
                let (word, mark) = (u64::from_le_bytes(bytes), 0x80 << (8 * at));
                assert_eq!(controls(word) & mark != 0, control, "{byte:#x} at {at}");
                assert_eq!(exact(word, b' ') & mark != 0, byte == b' ', "{byte:#x} at {at}");
                assert!(!control || may_be_controls(word) & mark != 0, "{byte:#x} at {at}");
            }
        }
    }
    assert!(may_be_controls(u64::from_le_bytes(*b"a value.")) == 0);
}

#[test]
fn a_word_past_the_end_is_zero() {
    let buffer: [u8; 16] = std::array::from_fn(|index| index as u8 + 1);
    for at in 0..32 {
        let wanted = buffer
            .get(at as usize..at as usize + 8)
            .map_or(0, |bytes| u64::from_le_bytes(std::array::from_fn(|index| bytes[index])));
        assert_eq!(word(&buffer, at), wanted, "{at}");
    }
}
