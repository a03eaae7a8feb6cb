//! Looks through the whole memory of a process.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

/// Bytes that are read at once.
const STEP: usize = 1 << 20;

/// One mapping of a process.
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    readable: bool,
    pub(crate) executable: bool,
    /// Where the file's part that is mapped begins, bytes.
    pub(crate) offset: u64,
    pub(crate) name: String,
}

/// What is mapped, in the order of addresses.
pub(crate) fn mappings(pid: u32) -> Result<Vec<Mapping>> {
    let path = format!("/proc/{pid}/maps");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    text.lines().map(|line| mapping(line).with_context(|| format!("{path}: {line}"))).collect()
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let access = words.next()?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let offset = number(words.next()?)?;
    let name = words.skip(2).collect::<Vec<_>>().join(" ");
    let (readable, executable) = (access.starts_with('r'), access.contains('x'));
    Some(Mapping { start: number(start)?, end: number(end)?, readable, executable, offset, name })
}

/// The memory of a process, as long as it lives.
pub(crate) fn memory(pid: u32) -> Result<File> {
    let path = format!("/proc/{pid}/mem");
    File::open(&path).context(path)
}

/// Where these bytes stand in a process: the mapping of each place, and how far in. Left out is what the kernel's own
/// tables map, and what it lets nobody read.
pub(crate) fn find(pid: u32, needle: &[u8]) -> Result<Vec<String>> {
    let memory = memory(pid)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; STEP + needle.len()];
    for mapping in mappings(pid)?.iter().filter(|one| one.readable && !one.name.contains("bpf-map")) {
        let mut at = mapping.start;
        while at < mapping.end {
            let len = buffer.len().min(usize::try_from(mapping.end - at)?);
            // A mapping may go while it is looked at; [vvar] can't be read.
            let Ok(count) = memory.read_at(&mut buffer[..len], at) else { break };
            if count == 0 {
                break;
            }
            let hits = memchr::memmem::find_iter(&buffer[..count], needle);
            found.extend(hits.map(|hit| format!("{} + {:#x}", mapping.name, at - mapping.start + hit as u64)));
            at += count.min(STEP) as u64;
        }
    }
    Ok(found)
}
