//! Foreign text made harmless: for terminals, for JSON that lands on one, for HTML.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal shows `c` as itself: no control, no direction mark, nothing invisible.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') || !c.is_ascii() && c.escape_debug().len() == 1
}

/// Text for a terminal: one line, with every control, bidi or invisible character (and `\`) as an escape.
#[must_use]
pub fn terminal(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| is_plain(c) && c != '\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) && c != '\\' { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    Cow::Owned(out)
}

/// The same JSON text, with what a terminal would act on as `\u` escapes. Outside strings JSON is plain already.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// Text for HTML, in an element or a quoted attribute.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in terminal(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Escape sequences, C1 controls, direction marks, invisible and line-breaking characters.
    const HOSTILE: &[char] = &[
        '\0',
        '\n',
        '\r',
        '\t',
        '\x08',
        '\x1b',
        '\x7f',
        '\u{9b}',
        '\u{85}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200e}',
        '\u{202e}',
        '\u{2028}',
        '\u{2066}',
        '\u{feff}',
        '\u{e0041}',
    ];

    #[test]
    fn printable_text_of_any_script_stays_borrowed() {
        for text in ["", "/api/users", "it's \"quoted\"", "größe", "日本語", "😀"] {
            assert!(matches!(terminal(text), Cow::Borrowed(same) if same == text), "{text}");
            assert!(matches!(json(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        for &c in HOSTILE {
            let text = format!("a{c}b");
            assert!(terminal(&text).chars().all(is_plain), "{c:?}");
            assert!(html(&text).chars().all(is_plain), "{c:?}");
            let line = serde_json::to_string(&text).unwrap();
            assert!(json(&line).chars().all(is_plain), "{c:?}");
        }
        assert_eq!(terminal("a\x1b[2J\\n\u{202e}b"), "a\\u{1b}[2J\\\\n\\u{202e}b");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text: String = HOSTILE.iter().chain(&['"', '\\', 'ü']).collect();
        let line = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str::<String>(&json(&line)).unwrap(), text);
    }

    #[test]
    fn html_stays_text() {
        assert_eq!(html("<a href='x'>\"&\"\u{7}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;\\u{7}");
    }
}
