//! A bounded reader of the kernel's type information (BTF): where a member lies, which names an enum has, how many
//! arguments a tracepoint has. Format: <https://docs.kernel.org/bpf/btf.html>.

use std::collections::{BTreeMap, HashMap};

mod reduce;

const MAGIC: u16 = 0xeb9f;
/// Anonymous members nested deeper than this do not occur.
const MAX_DEPTH: u32 = 16;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FWD: u32 = 7;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// The type information of one kernel.
pub struct Btf {
    data: Vec<u8>,
    /// Offset of each type in `data`; index 0 is `void`.
    types: Vec<u32>,
    strings: usize,
    /// Named structs, enums and typedefs that somebody may ask for.
    names: HashMap<String, Vec<u32>>,
}

/// One type's fixed part.
struct Type {
    name: u32,
    kind: u32,
    vlen: u32,
    bitfields: bool,
    /// Size or referenced type.
    size_or_type: u32,
    /// Offset of what follows.
    rest: usize,
}

impl Btf {
    /// Parses a BTF blob, indexing the given names. Errors name what is wrong with the blob.
    pub fn parse(data: Vec<u8>, wanted: &[&str]) -> Result<Self, String> {
        let header_len = read_u32(&data, 4).ok_or("shorter than its header")? as usize;
        if read_u16(&data, 0) != Some(MAGIC) {
            return Err("no BTF magic".to_owned());
        }
        let at = |offset| read_u32(&data, offset).map(|value| value as usize).ok_or("shorter than its header");
        let start = header_len + at(8)?;
        let end = start.checked_add(at(12)?).filter(|end| *end <= data.len()).ok_or("types go past the end")?;
        let strings = header_len + at(16)?;
        let mut btf = Self { types: vec![0], strings, names: HashMap::new(), data };
        let mut offset = start;
        while offset < end {
            let kind = btf.type_at(offset).ok_or("a type goes past the end")?;
            let id = u32::try_from(btf.types.len()).map_err(|_| "too many types")?;
            btf.types.push(u32::try_from(offset).map_err(|_| "larger than 4 GiB")?);
            if matches!(kind.kind, KIND_STRUCT | KIND_ENUM | KIND_ENUM64 | KIND_TYPEDEF | KIND_FUNC) {
                let name = btf.string(kind.name);
                if wanted.iter().any(|wanted| wanted.as_bytes() == name) {
                    let name = String::from_utf8_lossy(name).into_owned();
                    btf.names.entry(name).or_default().push(id);
                }
            }
            offset = kind.rest + trailer(kind.kind, kind.vlen).ok_or_else(|| format!("unknown kind {}", kind.kind))?;
        }
        Ok(btf)
    }

    /// Byte offset of a member, nested members separated by dots: `("inet_connection_sock", "icsk_ack.lrcvtime")`.
    #[must_use]
    pub fn member(&self, name: &str, path: &str) -> Option<u64> {
        let mut id = self.of_kind(name, &[KIND_STRUCT])?;
        let mut bits = 0;
        for part in path.split('.') {
            let (offset, next) = self.find(self.resolve(id)?, part.as_bytes(), 0)?;
            bits += u64::from(offset);
            id = next;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// A member of one bit: offset of its byte, and the bit in that (the kernel's bit order on little-endian machines).
    #[must_use]
    pub fn bit(&self, name: &str, member: &str) -> Option<(u64, u8)> {
        let id = self.of_kind(name, &[KIND_STRUCT])?;
        let (bits, _) = self.find(id, member.as_bytes(), 0)?;
        Some((u64::from(bits / 8), 1 << (bits % 8)))
    }

    /// Name and value of each entry of an enum.
    #[must_use]
    pub fn enum_values(&self, name: &str) -> Option<BTreeMap<u32, String>> {
        let id = self.of_kind(name, &[KIND_ENUM, KIND_ENUM64])?;
        let kind = self.get(id)?;
        let step = if kind.kind == KIND_ENUM { 8 } else { 12 };
        (0..kind.vlen as usize)
            .map(|index| {
                let at = kind.rest + index * step;
                let name = String::from_utf8_lossy(self.string(read_u32(&self.data, at)?)).into_owned();
                Some((read_u32(&self.data, at + 4)?, name))
            })
            .collect()
    }

    /// A blob in which the indexed typedefs and functions have their names and numbers, and every other type is
    /// nameless: all that finding an attachment point takes, at a fraction of the memory that the whole costs the
    /// loader.
    #[must_use]
    pub fn skeleton(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut named = BTreeMap::new();
        for (name, ids) in &self.names {
            let offset = strings.len();
            for id in ids {
                if let Some(kind) = self.get(*id).filter(|kind| matches!(kind.kind, KIND_TYPEDEF | KIND_FUNC)) {
                    named.insert(*id, (offset, kind.kind));
                }
            }
            strings.extend(name.bytes().chain([0]));
        }
        let count = self.types.len().saturating_sub(1);
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes();
        let mut blob = Vec::with_capacity(24 + 12 * count + strings.len());
        blob.extend(MAGIC.to_ne_bytes().into_iter().chain([1, 0]));
        for field in [24, 0, 12 * count, 12 * count, strings.len()] {
            blob.extend(word(field));
        }
        for id in (1..).take(count) {
            let (name, kind) = named.get(&id).copied().unwrap_or((0, KIND_FWD));
            blob.extend(word(name).into_iter().chain((kind << 24).to_ne_bytes()).chain([0; 4]));
        }
        blob.extend(strings);
        blob
    }

    /// Arguments of a tracepoint's BTF prototype, the hidden first one not counted. `None`: no such tracepoint.
    #[must_use]
    pub fn tracepoint_args(&self, tracepoint: &str) -> Option<u32> {
        Some(self.prototype(tracepoint)?.vlen.saturating_sub(1))
    }

    /// Whether a tracepoint's argument (from 0) is a pointer.
    #[must_use]
    pub fn tracepoint_arg_is_pointer(&self, tracepoint: &str, index: usize) -> Option<bool> {
        let proto = self.prototype(tracepoint)?;
        if index + 1 >= proto.vlen as usize {
            return None;
        }
        let id = read_u32(&self.data, proto.rest + (index + 1) * 8 + 4)?;
        Some(self.get(self.resolve(id)?)?.kind == KIND_PTR)
    }

    fn prototype(&self, tracepoint: &str) -> Option<Type> {
        let id = self.of_kind(&format!("btf_trace_{tracepoint}"), &[KIND_TYPEDEF])?;
        let pointer = self.get(self.resolve(id)?)?;
        let proto = self.get(self.resolve(pointer.size_or_type)?)?;
        (pointer.kind == KIND_PTR && proto.kind == KIND_FUNC_PROTO).then_some(proto)
    }

    fn of_kind(&self, name: &str, kinds: &[u32]) -> Option<u32> {
        let ids = self.names.get(name)?;
        ids.iter().copied().find(|id| self.get(*id).is_some_and(|kind| kinds.contains(&kind.kind)))
    }

    /// Bit offset and type of a member, looked for in anonymous members too.
    fn find(&self, id: u32, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        let kind = self.get(id)?;
        if !matches!(kind.kind, KIND_STRUCT | KIND_UNION) || depth > MAX_DEPTH {
            return None;
        }
        for index in 0..kind.vlen as usize {
            let at = kind.rest + index * 12;
            let (member, type_id) = (read_u32(&self.data, at)?, read_u32(&self.data, at + 4)?);
            let offset = read_u32(&self.data, at + 8)?;
            let offset = if kind.bitfields { offset & 0x00ff_ffff } else { offset };
            let member_name = self.string(member);
            if member_name == name {
                return Some((offset, type_id));
            }
            if member_name.is_empty()
                && let Some((inner, found)) = self.find(self.resolve(type_id)?, name, depth + 1)
            {
                return Some((offset + inner, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let kind = self.get(id)?;
            match kind.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => id = kind.size_or_type,
                _ => return Some(id),
            }
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        if id == 0 {
            return None;
        }
        self.type_at(*self.types.get(id as usize)? as usize)
    }

    fn type_at(&self, offset: usize) -> Option<Type> {
        let info = read_u32(&self.data, offset + 4)?;
        Some(Type {
            name: read_u32(&self.data, offset)?,
            kind: info >> 24 & 0x1f,
            vlen: info & 0xffff,
            bitfields: info >> 31 == 1,
            size_or_type: read_u32(&self.data, offset + 8)?,
            rest: offset + 12,
        })
    }

    fn string(&self, offset: u32) -> &[u8] {
        let bytes = self.data.get(self.strings.saturating_add(offset as usize)..).unwrap_or_default();
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Bytes that follow a type's fixed part.
fn trailer(kind: u32, vlen: u32) -> Option<usize> {
    let vlen = vlen as usize;
    Some(match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_PTR | KIND_FWD | KIND_TYPEDEF..=KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * vlen,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * vlen,
        _ => return None,
    })
}

fn read_u16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(data.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
