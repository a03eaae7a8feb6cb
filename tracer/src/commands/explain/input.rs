//! The ray that was asked for: typed, in a URL, or in an error page.

use std::io::{self, Read as _};

use anyhow::{Context as _, Result};

use crate::config::Invalid;
use crate::events::{Ray, find_ray};

/// Longest page that is read, in bytes; Cloudflare's have some ten thousand.
const MAX_PAGE: u64 = 1 << 20;
/// Rays that an error names.
const NAMED: usize = 5;

/// The ray; an error page is read from standard input.
pub(super) fn ray(typed: &str) -> Result<Ray> {
    if typed != "-" {
        return Ok(of(typed)?);
    }
    let mut page = Vec::new();
    io::stdin().lock().take(MAX_PAGE + 1).read_to_end(&mut page).context("reading standard input")?;
    if page.len() as u64 > MAX_PAGE {
        return Err(Invalid::new(format!(
            "standard input: longer than {} KiB, so hardly an error page",
            MAX_PAGE >> 10
        ))
        .into());
    }
    Ok(one("standard input", &page)?)
}

fn of(typed: &str) -> Result<Ray, Invalid> {
    if let Some(ray) = Ray::parse(typed) {
        return Ok(ray);
    }
    if typed.contains("://") {
        return one("the URL", typed.as_bytes());
    }
    Err(Invalid::new(format!(
        "{typed:?} is no ray (16 hexadecimal digits, as 7d1234567890abcd or 7d1234567890abcd-LAX)"
    )))
}

fn one(place: &str, text: &[u8]) -> Result<Ray, Invalid> {
    match find_ray(text).as_slice() {
        [ray] => Ok(*ray),
        [] => Err(Invalid::new(format!(
            "{place} holds no ray: the error page shows it, as \"Ray ID: 7d1234567890abcd\" (nothing is fetched)"
        ))),
        many => {
            let first: Vec<_> = many.iter().take(NAMED).map(ToString::to_string).collect();
            Err(Invalid::new(format!(
                "{place} holds {} rays ({}): name the one that is meant",
                many.len(),
                first.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_or_a_url_with_one_is_taken_and_anything_else_told() {
        for text in ["7d1234567890abcd", "7d1234567890abcd-LAX", "https://www.example.com/error?ray=7D1234567890ABCD"] {
            assert_eq!(of(text).unwrap().to_string(), "7d1234567890abcd", "{text}");
        }
        let wrong = |text: &str| of(text).unwrap_err().to_string();
        assert!(wrong("7d12").contains("is no ray (16 hexadecimal"));
        assert!(wrong("https://www.example.com/cart").contains("the URL holds no ray"));
        let two = "https://e.com/7d1234567890abcd/0d1234567890abcd";
        assert!(wrong(two).contains("holds 2 rays (7d1234567890abcd, 0d1234567890abcd)"));
    }
}
