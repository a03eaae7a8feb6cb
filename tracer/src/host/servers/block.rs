//! Configurations of words, semicolons and braces (nginx), and of words, lines and braces (Caddy), as a tree.

use std::rc::Rc;

/// Blocks within blocks.
const DEPTH: usize = 32;
/// Words and signs of one file.
const TOKENS: usize = 500_000;

/// What ends a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A semicolon or a block.
    Semicolons,
    /// The end of a line or a block.
    Lines,
}

/// A directive: its words, where it stands, and where it opens a block, what is in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    pub words: Vec<String>,
    pub file: Rc<str>,
    pub line: usize,
    pub block: Option<Vec<Self>>,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map(String::as_str).unwrap_or_default()
    }

    pub(super) fn arg(&self, at: usize) -> &str {
        self.words.get(at).map(String::as_str).unwrap_or_default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// Reads a whole text; `None`: it is none of this kind, or too much of it. What a missing brace leaves open ends with
/// the text.
#[must_use]
pub fn parse(text: &str, file: &str, style: Style) -> Option<Vec<Directive>> {
    let file: Rc<str> = file.into();
    let mut open: Vec<(Vec<String>, usize, Vec<Directive>)> = Vec::new();
    let mut here = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut begun = 1;
    let made = |words, line, block| Directive { words, file: file.clone(), line, block };
    let mut tokens = Tokens { chars: text.chars().peekable(), line: 1, style };
    let mut count = 0;
    while let Some(token) = tokens.next() {
        count += 1;
        if count > TOKENS {
            return None;
        }
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    begun = tokens.line;
                }
                words.push(word);
            }
            Token::End => {
                if !words.is_empty() {
                    here.push(made(std::mem::take(&mut words), begun, None));
                }
            }
            // Another language.
            Token::Open if words.last().is_some_and(|word| word.ends_with("_lua_block")) => {
                tokens.skip_block();
                here.push(made(std::mem::take(&mut words), begun, None));
            }
            Token::Open => {
                if open.len() == DEPTH {
                    return None;
                }
                open.push((std::mem::take(&mut words), begun, std::mem::take(&mut here)));
            }
            Token::Close => {
                if !words.is_empty() {
                    here.push(made(std::mem::take(&mut words), begun, None));
                }
                let (words, line, before) = open.pop()?;
                let block = std::mem::replace(&mut here, before);
                here.push(made(words, line, Some(block)));
            }
        }
    }
    if !words.is_empty() {
        here.push(made(words, begun, None));
    }
    while let Some((words, line, before)) = open.pop() {
        let block = std::mem::replace(&mut here, before);
        here.push(made(words, line, Some(block)));
    }
    Some(here)
}

struct Tokens<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    style: Style,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            match self.bump()? {
                '\n' if self.style == Style::Lines => return Some(Token::End),
                ';' if self.style == Style::Semicolons => return Some(Token::End),
                c if c.is_whitespace() => {}
                '#' => while self.chars.next_if(|c| *c != '\n').is_some() {},
                '{' if self.alone() => return Some(Token::Open),
                '}' => return Some(Token::Close),
                quote @ ('"' | '\'' | '`') if quote != '`' || self.style == Style::Lines => {
                    return Some(Token::Word(self.quoted(quote)));
                }
                c => return Some(Token::Word(self.word(c))),
            }
        }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// Goes behind the brace that closes what was opened, counting braces alone.
    fn skip_block(&mut self) {
        let mut open = 1;
        while open > 0 {
            match self.bump() {
                Some('{') => open += 1,
                Some('}') => open -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Whether an opening brace is a word of its own: Caddy's placeholders begin with one.
    fn alone(&mut self) -> bool {
        self.style == Style::Semicolons || self.chars.peek().is_none_or(|c| c.is_whitespace())
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut word = String::new();
        while let Some(c) = self.bump() {
            match c {
                c if c == quote => break,
                '\\' if quote != '`' => word.extend(self.bump()),
                c => word.push(c),
            }
        }
        word
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut next = Some(first);
        while let Some(c) = next {
            if c == '\\' {
                word.extend(self.bump());
            } else {
                word.push(c);
            }
            let ends = |c: &char| match self.style {
                // `${name}` and `a{2}` in a pattern belong to the word.
                Style::Semicolons => c.is_whitespace() || *c == ';' || (*c == '{' && !word.ends_with('$')),
                Style::Lines => c.is_whitespace(),
            };
            next = self.chars.next_if(|c| !ends(c));
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: &str =
        "user www; # comment }\nhttp {\n  server { return 444; }\n  log_format x '$a;\\'{';\n  set $b \"${c}d\";\n}\n";

    #[test]
    fn a_tree_is_read_with_its_lines() {
        let tree = parse(NGINX, "f", Style::Semicolons).unwrap();
        assert_eq!((tree[0].name(), tree[0].arg(1), tree[0].line), ("user", "www", 1));
        let http = tree[1].block.as_ref().unwrap();
        let server = &http[0];
        assert_eq!((server.name(), server.line), ("server", 3));
        assert_eq!(server.block.as_ref().unwrap()[0].words, ["return", "444"]);
        assert_eq!(http[1].arg(2), "$a;'{");
        assert_eq!(http[2].arg(2), "${c}d");
    }

    #[test]
    fn lines_end_directives_and_placeholders_open_no_block() {
        let tree = parse(
            "{\n\tservers {\n\t\ttimeouts {\n\t\t\tidle 2m\n\t\t}\n\t}\n}\nexample.com {\n\trespond {http.x} \
             `a\n}b`\n}\n",
            "f",
            Style::Lines,
        );
        let tree = tree.unwrap();
        let idle = &tree[0].block.as_ref().unwrap()[0].block.as_ref().unwrap()[0].block.as_ref().unwrap()[0];
        assert_eq!((idle.words.join(" ").as_str(), idle.line), ("idle 2m", 4));
        assert_eq!(tree[1].block.as_ref().unwrap()[0].words, ["respond", "{http.x}", "a\n}b"]);
    }

    #[test]
    fn blocks_of_another_language_are_left_out() {
        let tree = parse("a_by_lua_block { -- don't\n t = {} } b c;", "f", Style::Semicolons).unwrap();
        assert_eq!(tree.iter().map(Directive::name).collect::<Vec<_>>(), ["a_by_lua_block", "b"]);
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for style in [Style::Semicolons, Style::Lines] {
            for end in 0..=NGINX.len() {
                let _read = parse(&NGINX[..end], "f", style);
            }
        }
        assert_eq!(parse("}", "f", Style::Semicolons), None);
        assert_eq!(parse(&"a {".repeat(DEPTH + 1), "f", Style::Semicolons), None);
        assert!(parse(&"a {".repeat(DEPTH), "f", Style::Semicolons).is_some());
        assert_eq!(parse(&"a ".repeat(TOKENS + 1), "f", Style::Semicolons), None);
    }
}
