//! The ray of a request: as Cloudflare's error page, its headers and its logs show it.

use std::fmt;

/// Digits of a ray, without the place of Cloudflare's that it names.
const DIGITS: usize = 16;
/// How far before a ray the word that announces it may stand, in bytes: an error page has markup between them.
const ANNOUNCED: usize = 96;

/// The 16 hexadecimal digits, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ray([u8; DIGITS]);

impl Ray {
    /// `7d1234567890abcd` or `7d1234567890abcd-LAX`, in either case; `None`: something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, place) = text.trim().split_once('-').unwrap_or((text.trim(), ""));
        let is_place = place.len() <= 8 && place.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_place.then(|| Self::of(digits.as_bytes())).flatten()
    }

    fn of(digits: &[u8]) -> Option<Self> {
        let digits: [u8; DIGITS] = digits.try_into().ok()?;
        digits.iter().all(u8::is_ascii_hexdigit).then(|| Self(digits.map(|digit| digit.to_ascii_lowercase())))
    }

    /// The digits as the edge writes them.
    #[must_use]
    pub const fn digits(&self) -> &[u8; DIGITS] {
        &self.0
    }

    /// Whether a request's CF-Ray is this one, wherever in Cloudflare it was.
    #[must_use]
    pub fn is(&self, ray: &str) -> bool {
        ray.as_bytes().get(..DIGITS).is_some_and(|digits| digits.eq_ignore_ascii_case(&self.0))
    }
}

impl fmt::Display for Ray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

/// The rays in a text (an error page, a response's header section, a URL), each once: those that the word "ray"
/// announces; without any such, every run of 16 hexadecimal digits that stands alone.
#[must_use]
pub fn find(text: &[u8]) -> Vec<Ray> {
    let mut announced = Vec::new();
    let mut all = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if let Some(ray) = Ray::of(&text[at..at + length]) {
            let before = &text[at.saturating_sub(ANNOUNCED)..at];
            let list = if has_word(before, b"ray") { &mut announced } else { &mut all };
            if !list.contains(&ray) && list.len() < 100 {
                list.push(ray);
            }
        }
        at += length.max(1);
    }
    if announced.is_empty() { all } else { announced }
}

/// Whether the word stands there, whatever its case, and not as part of a longer one.
fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_letter = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphabetic);
    let at = |start: usize| {
        let before = start.checked_sub(1).and_then(|before| text.get(before));
        !is_letter(before) && !is_letter(text.get(start + word.len()))
    };
    text.windows(word.len()).enumerate().any(|(start, found)| found.eq_ignore_ascii_case(word) && at(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        find(text.as_bytes()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_ray_is_16_digits_with_or_without_its_place() {
        for text in ["7d1234567890abcd", "7D1234567890ABCD-LAX", " 7d1234567890abcd-lax\n"] {
            assert_eq!(Ray::parse(text).map(|ray| ray.to_string()).as_deref(), Some("7d1234567890abcd"), "{text}");
        }
        for text in
            ["", "7d1234567890abc", "7d1234567890abcd0", "7d1234567890abcg", "7d1234567890abcd-<script>", "-LAX"]
        {
            assert_eq!(Ray::parse(text), None, "{text}");
        }
        let ray = Ray::parse("7d1234567890abcd").unwrap();
        assert!(ray.is("7d1234567890abcd-AMS") && ray.is("7D1234567890ABCD") && !ray.is("7d12"));
    }

    #[test]
    fn an_error_page_in_its_forms_names_its_ray() {
        for text in [
            "Cloudflare Ray ID: <strong class=\"font-semibold\">7d1234567890abcd</strong>",
            "Error 520 Ray ID: 7d1234567890abcd • 2026-11-20 10:00:00 UTC",
            "HTTP/2 520\r\ncf-ray: 7d1234567890abcd-LAX\r\n\r\n",
            "{\"ray_id\":\"7d1234567890abcd\",\"etag\":\"0123456789abcdef\"}",
            "https://www.example.com/?ray=7d1234567890abcd&x=1",
            "id 0123456789abcdef, ray 7d1234567890abcd",
            "just 7d1234567890abcd",
        ] {
            let last = found(text);
            assert_eq!(last.iter().filter(|ray| *ray == "7d1234567890abcd").count(), 1, "{text}: {last:?}");
        }
        assert_eq!(found("array 0123456789abcdef ray: 7d1234567890abcd"), ["7d1234567890abcd"]);
        assert_eq!(found("sha 0123456789abcdef0123456789abcdef"), [""; 0]);
        assert_eq!(found("0123456789abcdef 7d1234567890abcd 0123456789ABCDEF").len(), 2);
    }
}
