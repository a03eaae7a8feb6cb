//! Rust sources as text: what is code in them, and which paths that code names.

use std::ops::Range;

/// A path that the code names, such as `crate::edge::EdgeRanges`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    /// By which name a `use` makes it known; `None`: it stands in the middle of code.
    pub(crate) used_as: Option<String>,
    /// A `pub use` or `pub(…) use`.
    pub(crate) exported: bool,
    pub(crate) line: usize,
    /// How many inline modules (`mod name { … }`) it stands in.
    pub(crate) depth: usize,
}

/// One source file, tests left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    code: String,
    pub(crate) names: Vec<Named>,
    uses: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn read(text: &str) -> Self {
        let code = without_tests(&code(text));
        let uses = uses(&code);
        let modules = inline_modules(&code);
        let depth = |at: usize| modules.iter().filter(|range| range.contains(&at)).count();
        let line = |at: usize| 1 + code[..at].matches('\n').count();
        let mut names = Vec::new();
        for range in &uses {
            let before = code[..range.start].trim_end();
            let exported = before.ends_with("pub") || before.ends_with(')') && before.contains("pub(");
            let tree = code[range.clone()].trim_start_matches("use").trim_end_matches(';');
            for (segments, name) in flat(&[], tree) {
                let (line, depth) = (line(range.start), depth(range.start));
                names.push(Named { segments, used_as: Some(name), exported, line, depth });
            }
        }
        for (at, segments) in chains(&code) {
            // `pub(in super::super)` says who may look, and imports nothing.
            let is_visibility = code[..at].trim_end().ends_with("(in");
            if !is_visibility && !uses.iter().any(|range| range.contains(&at)) {
                names.push(Named { segments, used_as: None, exported: false, line: line(at), depth: depth(at) });
            }
        }
        Self { code, names, uses }
    }

    /// Whether the code says this word outside of its `use` declarations.
    pub(crate) fn says(&self, word: &str) -> bool {
        words(&self.code).any(|(at, found)| found == word && !self.uses.iter().any(|range| range.contains(&at)))
    }

    /// Whether it defines an item of this name.
    pub(crate) fn defines(&self, name: &str) -> bool {
        const KINDS: [&str; 9] = ["fn", "struct", "enum", "union", "const", "static", "type", "trait", "mod"];
        let all: Vec<_> = words(&self.code).map(|(_, word)| word).collect();
        all.windows(2).any(|pair| KINDS.contains(&pair[0]) && pair[1] == name)
    }
}

/// The text with blanks in place of comments and of what literals hold; lines stay lines.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => at + text[at..].find('\n').unwrap_or(text.len() - at),
            [b'/', b'*', ..] => at + text[at..].find("*/").map_or(text.len() - at, |len| len + 2),
            [b'"', ..] => quoted(bytes, at),
            [b'r', b'"' | b'#', ..] if at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b' => raw(text, at),
            [b'\'', b'\\', ..] => at + 2 + text[at + 3..].find('\'').map_or(1, |len| len + 2),
            [b'\'', ..] => at + char_len(&text[at..]),
            _ => at,
        };
        for byte in &mut out[at..end] {
            *byte = if *byte == b'\n' { b'\n' } else { b' ' };
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

/// Length of a character literal; 0 for a lifetime.
fn char_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(2);
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 0,
    }
}

/// The end of a string that begins here.
fn quoted(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The end of a raw string that begins here; `from` where none does.
fn raw(text: &str, from: usize) -> usize {
    let hashes = text[from + 1..].bytes().take_while(|byte| *byte == b'#').count();
    let start = from + 1 + hashes;
    if text.as_bytes().get(start) != Some(&b'"') {
        return from;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[start + 1..].find(&end).map_or(text.len(), |len| start + 1 + len + end.len())
}

/// The code with blanks in place of items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    while let Some(from) = out.find(MARK) {
        let end = item_end(&out, from + MARK.len());
        let blank: String = out[from..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(from..end, &blank);
    }
    out
}

/// The end of the item that begins at or after `from`: its semicolon or its closing brace.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth <= 1 => return from + at + 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return from + at + 1,
            _ => {}
        }
    }
    code.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every word, with its place.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let starts = (0..bytes.len()).filter(move |at| is_word(bytes[*at]) && (*at == 0 || !is_word(bytes[at - 1])));
    starts.map(move |at| {
        let len = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        (at, &code[at..at + len])
    })
}

/// Where `use` declarations stand.
fn uses(code: &str) -> Vec<Range<usize>> {
    let begins_tree = |at: usize| code[at..].trim_start().starts_with(|c: char| c.is_alphabetic() || "_{:".contains(c));
    let keywords = words(code).filter(|(at, word)| *word == "use" && begins_tree(at + 3));
    keywords.map(|(at, _)| at..code[at..].find(';').map_or(code.len(), |len| at + len + 1)).collect()
}

/// The bodies of `mod name { … }`.
fn inline_modules(code: &str) -> Vec<Range<usize>> {
    let keywords = words(code).filter(|(_, word)| *word == "mod");
    let bodies = keywords.filter_map(|(at, _)| {
        let open = at + code[at..].find(['{', ';'])?;
        code[open..].starts_with('{').then(|| open..item_end(code, at))
    });
    bodies.collect()
}

/// The paths of a `use` tree, each with the name that it is known by.
fn flat(prefix: &[String], tree: &str) -> Vec<(Vec<String>, String)> {
    let mut paths = Vec::new();
    for part in parts(tree) {
        let (head, inner) = match part.find('{') {
            Some(open) => (&part[..open], Some(&part[open + 1..part.rfind('}').unwrap_or(part.len())])),
            None => (part, None),
        };
        let (path, alias) = head.split_once(" as ").map_or((head, None), |(path, alias)| (path, Some(alias.trim())));
        let mut segments = prefix.to_vec();
        segments.extend(path.split("::").map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned));
        if let Some(inner) = inner {
            paths.extend(flat(&segments, inner));
        } else {
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let name = alias.map(str::to_owned).or_else(|| segments.last().cloned()).unwrap_or_default();
            paths.push((segments, name));
        }
    }
    paths
}

/// What the commas outside of braces part.
fn parts(tree: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[from..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Every `a::b::c` of the code, with its place.
fn chains(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut chains: Vec<(usize, usize, Vec<String>)> = Vec::new();
    for (at, word) in words(code) {
        let continues = code[..at].ends_with("::");
        match chains.last_mut() {
            Some((_, end, segments)) if continues && *end + 2 == at => {
                segments.push(word.to_owned());
                *end = at + word.len();
            }
            _ if continues => {}
            _ => chains.push((at, at + word.len(), vec![word.to_owned()])),
        }
    }
    chains.into_iter().filter(|(_, _, segments)| segments.len() > 1).map(|(at, _, segments)| (at, segments)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::read(text).names.iter().map(|named| named.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_taken_apart() {
        let text = "use crate::{a::{self, B as C}, d::*};\npub use super::e::F;";
        assert_eq!(paths(text), ["crate::a", "crate::a::B", "crate::d::*", "super::e::F"]);
        let names = Source::read(text).names;
        assert_eq!(names[1].used_as.as_deref(), Some("C"));
        assert_eq!((names[2].exported, names[3].exported, names[3].line), (false, true, 2));
    }

    #[test]
    fn paths_in_code_count_and_those_in_comments_strings_and_tests_do_not() {
        let text = "// crate::no\nfn f<'a>(c: char) -> &'a str {\n    /* crate::no */ if c == '\"' { crate::yes::g() \
                    }\n    \"crate::no\"\n}\nconst R: &str = r#\"crate::\"no\"#;\n#[cfg(test)]\nmod tests {\n    use \
                    crate::no;\n}\npub(in super::super) fn h() { super::yes::<u8>(b'\\'') }";
        assert_eq!(paths(text), ["crate::yes::g", "super::yes"]);
    }

    #[test]
    fn an_inline_module_is_one_step_down() {
        let names = Source::read("mod a {\n    use super::B;\n}\nuse super::C;").names;
        assert_eq!(names.iter().map(|named| named.depth).collect::<Vec<_>>(), [1, 0]);
    }
}
