//! Times and sizes as servers' configurations write them.

use std::time::Duration;

/// A run of numbers with units: `75`, `1m 30s`, `500ms`. `bare` is the unit of a number without one, in milliseconds.
pub(in super::super) fn time(text: &str, bare: u64) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "" => bare,
            "us" => {
                total = total.checked_add(number / 1000)?;
                0
            }
            "ms" => 1,
            "s" => 1_000,
            "m" | "mi" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "M" => 2_592_000_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[letters..].trim_start();
    }
    Some(Duration::from_millis(total))
}

/// A size in bytes: `8192`, `8k`, `1m`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A time for people: `75 s`, `500 ms`.
pub(in super::super) fn span(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) { format!("{} s", millis / 1000) } else { format!("{millis} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_and_nonsense_is_not() {
        let seconds = |text| time(text, 1000).map(|time| time.as_secs());
        assert_eq!([Some(75), Some(90), Some(0), Some(86_400)], ["75", "1m 30s", "500ms", "1d"].map(seconds));
        assert_eq!(time("15000", 1), Some(Duration::from_secs(15)));
        for text in ["", "s", "1x", "99999999999999999999", "18446744073709551615y", "-1", "1 s x", "ü"] {
            assert_eq!(time(text, 1000), None, "{text}");
        }
        assert_eq!([Some(8192), Some(1 << 20), Some(100), None, None], ["8k", "1M", "100", "8x", "k"].map(size));
        assert_eq!(size("99999999999999999999g"), None);
        assert_eq!((span(Duration::from_secs(75)).as_str(), span(Duration::from_millis(5)).as_str()), ("75 s", "5 ms"));
    }
}
