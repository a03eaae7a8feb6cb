//! A kernel's type information cut down to what is asked of it: small enough to be kept as a fixture per kernel, and
//! read by the same code.

use std::collections::{BTreeSet, HashMap};

use super::{
    Btf, KIND_ARRAY, KIND_ENUM, KIND_ENUM64, KIND_FUNC_PROTO, KIND_FWD, KIND_PTR, KIND_STRUCT, KIND_UNION, MAGIC, Type,
    read_u32, trailer,
};

/// What is written, and what is still to be written.
struct Writer<'a> {
    btf: &'a Btf,
    members: &'a BTreeSet<&'a str>,
    /// New number of each type that is kept, in the order of writing.
    numbers: HashMap<u32, u32>,
    order: Vec<u32>,
    strings: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
}

impl Btf {
    /// The indexed types, with the structs' members of these names and all that those refer to; pointers lead nowhere
    /// but to prototypes.
    #[must_use]
    pub fn reduced(&self, members: &BTreeSet<&str>) -> Vec<u8> {
        let mut writer = Writer {
            btf: self,
            members,
            numbers: HashMap::new(),
            order: Vec::new(),
            strings: vec![0],
            places: HashMap::from([(Vec::new(), 0)]),
        };
        let wanted: BTreeSet<u32> = self.names.values().flatten().copied().collect();
        for id in &wanted {
            writer.number(*id);
        }
        let mut types = Vec::new();
        let mut next = 0;
        while let Some(id) = writer.order.get(next).copied() {
            next += 1;
            types.extend(writer.write(id, wanted.contains(&id)).into_iter().flat_map(u32::to_ne_bytes));
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut blob = Vec::from(MAGIC.to_ne_bytes());
        blob.extend([1, 0]);
        for field in [24, 0, length(&types), length(&types), length(&writer.strings)] {
            blob.extend(field.to_ne_bytes());
        }
        blob.extend(types);
        blob.extend(writer.strings);
        blob
    }
}

impl Writer<'_> {
    /// The new number of a type, which will be written if it is not yet.
    fn number(&mut self, id: u32) -> u32 {
        if id == 0 {
            return 0;
        }
        let next = u32::try_from(self.order.len() + 1).unwrap_or(u32::MAX);
        *self.numbers.entry(id).or_insert_with(|| {
            self.order.push(id);
            next
        })
    }

    fn string(&mut self, offset: u32) -> u32 {
        let text = self.btf.string(offset).to_vec();
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        let place = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        self.strings.extend(text.iter().copied().chain([0]));
        self.places.insert(text, place);
        place
    }

    /// One type in its new form. Enumerators are only kept where the enum was asked for.
    fn write(&mut self, id: u32, wanted: bool) -> Vec<u32> {
        let Some(kind) = self.btf.get(id) else { return vec![0, KIND_FWD << 24, 0] };
        let name = self.string(kind.name);
        match kind.kind {
            KIND_STRUCT | KIND_UNION => self.composite(&kind, name),
            KIND_ENUM | KIND_ENUM64 if wanted => self.enumeration(&kind, name),
            KIND_ENUM | KIND_ENUM64 => vec![name, kind.kind << 24, kind.size_or_type],
            KIND_FUNC_PROTO => self.prototype(&kind),
            KIND_ARRAY => vec![name, KIND_ARRAY << 24, 0, 0, 0, 0],
            KIND_PTR => {
                let target = self.btf.resolve(kind.size_or_type).filter(|id| self.is_prototype(*id));
                let target = target.map_or(0, |id| self.number(id));
                vec![name, KIND_PTR << 24, target]
            }
            other => {
                let extra = trailer(other, kind.vlen).unwrap_or(0) / 4;
                let refers = extra == 0 && other != KIND_FWD;
                let last = if refers { self.number(kind.size_or_type) } else { kind.size_or_type };
                let rest = (0..extra).map(|word| read_u32(&self.btf.data, kind.rest + 4 * word).unwrap_or(0));
                [name, other << 24, last].into_iter().chain(rest).collect()
            }
        }
    }

    fn is_prototype(&self, id: u32) -> bool {
        self.btf.get(id).is_some_and(|kind| kind.kind == KIND_FUNC_PROTO)
    }

    fn composite(&mut self, kind: &Type, name: u32) -> Vec<u32> {
        let mut members = Vec::new();
        for index in 0..kind.vlen as usize {
            let word = |word: usize| read_u32(&self.btf.data, kind.rest + index * 12 + 4 * word).unwrap_or(0);
            let (member, id, offset) = (word(0), word(1), word(2));
            let text = String::from_utf8_lossy(self.btf.string(member)).into_owned();
            // What has no name may hold what has one.
            if text.is_empty() || self.members.contains(text.as_str()) {
                let (member, id) = (self.string(member), self.number(id));
                members.extend([member, id, offset]);
            }
        }
        let count = u32::try_from(members.len() / 3).unwrap_or(u32::MAX);
        let info = u32::from(kind.bitfields) << 31 | kind.kind << 24 | count;
        [name, info, kind.size_or_type].into_iter().chain(members).collect()
    }

    fn enumeration(&mut self, kind: &Type, name: u32) -> Vec<u32> {
        let words = if kind.kind == KIND_ENUM { 2 } else { 3 };
        let mut out = vec![name, kind.kind << 24 | kind.vlen, kind.size_or_type];
        for at in 0..kind.vlen as usize * words {
            let word = read_u32(&self.btf.data, kind.rest + 4 * at).unwrap_or(0);
            let word = if at % words == 0 { self.string(word) } else { word };
            out.push(word);
        }
        out
    }

    fn prototype(&mut self, kind: &Type) -> Vec<u32> {
        let mut out = vec![0, KIND_FUNC_PROTO << 24 | kind.vlen, 0];
        for index in 0..kind.vlen as usize {
            let id = read_u32(&self.btf.data, kind.rest + index * 8 + 4).unwrap_or(0);
            out.extend([0, self.number(id)]);
        }
        out
    }
}
