//! Which file of a crate imports which, and where that goes round in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use super::source::{Named, Source};

/// One file names something that another one defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Line in `from`.
    pub(crate) line: usize,
    /// The path as the line has it.
    pub(crate) path: String,
}

impl std::fmt::Display for Arrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} names {}, which {} defines", self.from, self.line, self.path, self.to)
    }
}

/// The sources of one crate.
pub(crate) struct Crate {
    /// Its name in paths of its own binary.
    name: String,
    files: BTreeMap<String, Source>,
    /// File by module.
    modules: BTreeMap<Vec<String>, String>,
}

impl Crate {
    /// Reads `SRC` below the repository's root.
    pub(crate) fn read(root: &Path, src: &str) -> io::Result<Self> {
        let mut texts = BTreeMap::new();
        walk(&root.join(src), "", &mut texts)?;
        let name = src.trim_end_matches("/src").replace('-', "_");
        Ok(Self::new(&name, texts.iter().map(|(file, text)| (file.as_str(), text.as_str()))))
    }

    pub(crate) fn new<'a>(name: &str, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let texts = texts.into_iter().filter(|(file, _)| !file.ends_with("tests.rs"));
        let files: BTreeMap<_, _> = texts.map(|(file, text)| (file.to_owned(), Source::read(text))).collect();
        let is_library = files.contains_key("lib.rs");
        // Beside a library, `main.rs` is a crate of its own.
        let inside = files.keys().filter(|file| !(is_library && *file == "main.rs"));
        let modules = inside.map(|file| (module_of(file), file.clone())).collect();
        Self { name: name.to_owned(), files, modules }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&String, &Source)> {
        self.files.iter()
    }

    /// Every import among its files.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, source) in &self.files {
            for named in &source.names {
                let Some(path) = self.absolute(from, named) else { continue };
                let to = self.file_of(&path, 0);
                let own = module_of(from);
                // What a module passes on from below it is no import, unless it uses that itself.
                let passed_on = named.exported
                    && module_of(&to).starts_with(&own)
                    && named.used_as.as_ref().is_some_and(|name| !source.says(name));
                if to != *from && !passed_on {
                    let path = named.segments.join("::");
                    arrows.insert(Arrow { from: from.clone(), to, line: named.line, path });
                }
            }
        }
        arrows.into_iter().collect()
    }

    /// The path from the crate's root; `None`: it leads out of the crate.
    fn absolute(&self, file: &str, named: &Named) -> Option<Vec<String>> {
        let own = module_of(file);
        let mut segments = named.segments.as_slice();
        let first = segments.first()?.as_str();
        let up = segments.iter().take_while(|segment| *segment == "super").count();
        if up > 0 {
            // Out of inline modules first, which are in the same file.
            let kept = own.len().checked_sub(up.saturating_sub(named.depth))?;
            return Some([&own[..kept], &segments[up..]].concat());
        }
        if first == "crate" || first == self.name && file == "main.rs" {
            return Some(segments[1..].to_vec());
        }
        if first == "self" {
            segments = &segments[1..];
        } else if !self.modules.contains_key(&[own.as_slice(), &segments[..1]].concat()) {
            return None;
        }
        Some([own.as_slice(), segments].concat())
    }

    /// The file that defines what the path names.
    fn file_of(&self, path: &[String], steps: usize) -> String {
        let (module, file) = (0..=path.len())
            .rev()
            .find_map(|len| self.modules.get_key_value(&path[..len]))
            .expect("the crate's root is a module");
        let Some(item) = path.get(module.len()).filter(|item| *item != "*") else { return file.clone() };
        let source = &self.files[file];
        let exports = source.names.iter().filter(|named| named.exported && steps < 8);
        for export in exports {
            let Some(target) = self.absolute(file, export) else { continue };
            if export.used_as.as_ref() == Some(item) {
                return self.file_of(&target, steps + 1);
            }
            let behind = self.file_of(&target, steps + 1);
            if export.used_as.as_deref() == Some("*") && self.files[&behind].defines(item) {
                return behind;
            }
        }
        file.clone()
    }
}

/// All texts below a folder, by their path in it.
fn walk(folder: &Path, prefix: &str, texts: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), texts)?;
        } else if name.ends_with(".rs") {
            texts.insert(path, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the root.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main" | "mod") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Each circle: the arrows among files that all lead back to one another.
pub(crate) fn circles(arrows: &[Arrow]) -> Vec<Vec<&Arrow>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for start in arrows.iter().map(|arrow| arrow.from.as_str()) {
        reached.entry(start).or_insert_with(|| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(file) = open.pop() {
                let next = arrows.iter().filter(|arrow| arrow.from == file).map(|arrow| arrow.to.as_str());
                open.extend(next.filter(|to| seen.insert(*to)));
            }
            seen
        });
    }
    let leads = |from: &str, to: &str| reached.get(from).is_some_and(|seen| seen.contains(to));
    let mut circles: BTreeMap<&str, Vec<&Arrow>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|arrow| leads(&arrow.to, &arrow.from)) {
        let members = reached[arrow.from.as_str()].iter().filter(|member| leads(member, &arrow.from));
        circles.entry(members.min().unwrap_or(&arrow.from.as_str())).or_default().push(arrow);
    }
    circles.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let arrows = Crate::new("fake", files.iter().copied()).arrows();
        arrows.into_iter().map(|arrow| (arrow.from, arrow.to)).collect()
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn a_circle_of_three_files_is_found_and_a_chain_is_none() {
        let circle = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::B;\npub struct A;"),
            ("b.rs", "use super::c;\npub struct B;"),
            ("c.rs", "fn c() { crate::a::A; }"),
        ];
        let arrows = Crate::new("fake", circle).arrows();
        let circles = circles(&arrows);
        assert_eq!((circles.len(), circles[0].len()), (1, 3), "{circles:?}");
        let text = circles[0][2].to_string();
        assert_eq!(text, "c.rs:1 names crate::a::A, which a.rs defines");
        let chain = Crate::new("fake", circle.into_iter().take(3)).arrows();
        assert_eq!(super::circles(&chain), Vec::<Vec<&Arrow>>::new());
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_the_file_that_defines_it() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a/mod.rs", "mod c;\nmod d;\npub use c::C;\npub use d::*;\npub const OWN: u8 = 0;"),
            ("a/c.rs", "pub struct C;"),
            ("a/d.rs", "use super::C;\npub struct D;"),
            ("b.rs", "use crate::a::{C, D, OWN};"),
        ];
        let expected = [("a/d.rs", "a/c.rs"), ("b.rs", "a/c.rs"), ("b.rs", "a/d.rs"), ("b.rs", "a/mod.rs")];
        assert_eq!(found(&files), expected.map(|(from, to)| pair(from, to)));
    }

    #[test]
    fn a_module_that_uses_what_it_passes_on_imports_it() {
        let child = ("a/c.rs", "pub struct C;");
        assert_eq!(found(&[("lib.rs", "mod a;"), ("a/mod.rs", "mod c;\npub use c::C;"), child]), []);
        let uses = [("lib.rs", "mod a;"), ("a/mod.rs", "mod c;\npub use c::C;\nfn f(_: C) {}"), child];
        assert_eq!(found(&uses), [pair("a/mod.rs", "a/c.rs")]);
    }

    #[test]
    fn tests_and_other_crates_make_no_arrows_and_the_binary_may_use_its_library() {
        let files = [
            ("lib.rs", "pub mod a;"),
            ("main.rs", "use fake::a::A;"),
            ("a.rs", "use std::a::B;\npub struct A;\n#[cfg(test)]\nmod tests { use crate::b; }"),
            ("a/tests.rs", "use crate::b;"),
            ("b.rs", ""),
        ];
        assert_eq!(found(&files), [pair("main.rs", "a.rs")]);
    }
}
