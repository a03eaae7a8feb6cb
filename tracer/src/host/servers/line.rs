//! One line of a configuration in words, as Apache and HAProxy take them apart.

/// Longest line that is read, in bytes.
const LONGEST: usize = 1 << 16;

/// The lines of a text with their numbers; a backslash at the end joins the next one.
pub(in super::super) fn lines(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut whole: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let (_, joined) = whole.get_or_insert_with(|| (number, String::new()));
        match line.strip_suffix('\\') {
            Some(part) if joined.len() < LONGEST => {
                joined.push_str(part);
                joined.push(' ');
            }
            _ => {
                joined.push_str(line);
                found.extend(whole.take());
            }
        }
    }
    found.extend(whole);
    found
}

/// Words between spaces, up to a comment; quotes and backslashes keep what they hold.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_quotes_hold() {
        assert_eq!(words("  a \"b c\" 'd\\e' f\\ g # h"), ["a", "b c", "d\\e", "f g"]);
        assert_eq!(words("\"\" x#y"), ["", "x#y"]);
        assert!(words("# only").is_empty());
    }

    #[test]
    fn lines_are_joined_and_keep_their_first_number() {
        assert_eq!(lines("a\nb \\\nc\nd\\"), [(1, "a".to_owned()), (2, "b  c".to_owned()), (4, "d ".to_owned())]);
    }

    #[test]
    fn every_prefix_is_read() {
        let text = "a \"b\\\" c\" 'd' \\\n e # f";
        for end in 0..=text.len() {
            lines(&text[..end]).iter().for_each(|(_, line)| drop(words(line)));
        }
    }
}
