//! One value's text to its type, or why not and what to write instead. The caller adds the place.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use log::LevelFilter;

use crate::edge;

/// Longest time that is taken for meant.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// The units of a duration and how many nanoseconds they have.
const UNITS: [(&str, u64); 4] =
    [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// The units of a size and how many bytes they have.
const SIZES: [(&str, u64); 4] = [("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Smallest size that is worth a file.
const MIN_SIZE: u64 = 64 << 10;

/// Most files that are taken for meant.
const MAX_KEEP: u32 = 1000;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration (write 1600ms, 2s or 1.5s)");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let &(_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if ![whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(wrong());
    }
    let too_long = || format!("{text:?} is longer than a year");
    let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(nanos)).ok_or_else(too_long)?;
    let fraction = fraction
        .bytes()
        .zip(1..19)
        .map(|(byte, place)| u128::from(byte - b'0') * u128::from(nanos) / 10_u128.pow(place));
    let fraction = u64::try_from(fraction.sum::<u128>()).map_err(|_| wrong())?;
    let time = Duration::from_nanos(whole).saturating_add(Duration::from_nanos(fraction));
    match time {
        Duration::ZERO => Err(format!("{text:?} is no time at all (write 1600ms, 2s or 1.5s)")),
        time if time > MAX_TIME => Err(too_long()),
        time => Ok(time),
    }
}

/// How long before `now`, a moment, or the beginning of a day in UTC.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Some(day) = text.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok()) {
        return Ok(day.timestamp());
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let ago = match days {
        Some(days) => days.checked_mul(24).map_or_else(|| "x".to_owned(), |hours| format!("{hours}h")),
        None => text.to_owned(),
    };
    let forms = "write 1h or 7d for so long ago, 2026-11-20T10:00:00Z or 2026-11-20";
    let ago = duration(&ago).map_err(|_| format!("{text:?} is no time ({forms})"))?;
    now.checked_sub(ago).map_err(|_| format!("{text:?} is too long ago ({forms})"))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port (write a number from 1 to 65535)")),
    }
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    positive(text).ok_or_else(|| format!("{text:?} is not a number of bytes (write 131072 for 128 KiB)"))
}

/// `None`: no limit.
pub(super) fn max_size(text: &str) -> Result<Option<u64>, String> {
    if text == "off" {
        return Ok(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = SIZES.iter().find(|(name, _)| *name == &text[digits.len()..]);
    let size = unit.and_then(|&(_, bytes)| positive(digits)?.checked_mul(bytes));
    match size.ok_or_else(|| format!("{text:?} is not a size (write 100MiB, 65536 or off)"))? {
        size if size < MIN_SIZE => Err(format!("{text:?} holds hardly an event (write 64KiB or more)")),
        size => Ok(Some(size)),
    }
}

pub(super) fn keep(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a number of files from 1 to {MAX_KEEP}");
    text.parse().ok().filter(|number| (1..=MAX_KEEP).contains(number)).ok_or_else(wrong)
}

pub(super) fn count(text: &str) -> Result<u64, String> {
    positive(text).ok_or_else(|| format!("{text:?} is not a number from 1 up"))
}

fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&number| number > 0)
}

pub(super) fn range(text: &str) -> Result<IpNet, String> {
    edge::parse_range(text).map_err(|error| error.to_string())
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address and a port (write 127.0.0.1:9520 or [::1]:9520)"))
}

pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| format!("{text:?} is not a log level (write off, error, warn, info, debug or trace)"))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, millis) in
            [("1600ms", 1_600), ("2s", 2_000), ("1.5s", 1_500), ("2m", 120_000), ("0.25h", 900_000), ("007s", 7_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("0.001ms"), Ok(Duration::from_micros(1)));
        assert_eq!(duration("8760h"), Ok(MAX_TIME));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_right_form() {
        for text in [
            "", "s", "2", "2x", "2 s", "-2s", "+2s", "1e3s", "NaN", "nans", "infs", "1.s", ".5s", "1.5.5s", "2S", "٢s",
            "2sec",
        ] {
            let error = duration(text).unwrap_err();
            assert_eq!(error, format!("{text:?} is not a duration (write 1600ms, 2s or 1.5s)"));
        }
    }

    #[test]
    fn zero_and_endless_durations_are_refused() {
        for text in ["0s", "0.0ms", "0.0000001ms", "0.0000000000000000000000001s"] {
            assert!(duration(text).unwrap_err().contains("no time at all"), "{text}");
        }
        for text in ["8761h", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).unwrap_err().contains("longer than a year"), "{text}");
        }
    }

    #[test]
    fn moments_are_times_days_and_spans() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("1h", "2026-11-20T09:00:00Z"),
            ("90s", "2026-11-20T09:58:30Z"),
            ("7d", "2026-11-13T10:00:00Z"),
            ("2026-11-19", "2026-11-19T00:00:00Z"),
            ("2026-11-19T01:02:03.5+01:00", "2026-11-19T00:02:03.5Z"),
        ] {
            assert_eq!(moment(text, now).map(|time| time.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "soon", "d", "-1h", "0s", "9999d", "99999999999999999999d", "2026-13-01", "10:00"] {
            assert!(moment(text, now).unwrap_err().contains("write 1h or 7d"), "{text}");
        }
    }

    #[test]
    fn ports_are_from_1_to_65535() {
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65_535)));
        for text in ["0", "65536", "-1", "http", "", "80.0", " 80"] {
            assert!(port(text).unwrap_err().contains("is not a port"), "{text}");
        }
    }

    #[test]
    fn numbers_are_positive() {
        assert_eq!((bytes("131072"), count("1")), (Ok(131_072), Ok(1)));
        assert!(bytes("0").unwrap_err().contains("number of bytes"));
        assert!(bytes("128k").unwrap_err().contains("write 131072"));
        assert!(count("-3").unwrap_err().contains("from 1 up"));
    }

    #[test]
    fn sizes_have_binary_units_and_may_be_off() {
        for (text, size) in [("65536", 65_536), ("64KiB", 65_536), ("100MiB", 100 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(max_size(text), Ok(Some(size)), "{text}");
        }
        assert_eq!(max_size("off"), Ok(None));
        for text in ["", "0", "MiB", "100MB", "1.5GiB", "-1KiB", "100 MiB", "18446744073709551615KiB", "none"] {
            assert_eq!(max_size(text), Err(format!("{text:?} is not a size (write 100MiB, 65536 or off)")));
        }
        assert!(max_size("63KiB").unwrap_err().contains("hardly an event"));
    }

    #[test]
    fn as_many_files_are_kept_as_anybody_means() {
        assert_eq!((keep("1"), keep("1000")), (Ok(1), Ok(1000)));
        for text in ["0", "1001", "-1", "all", ""] {
            assert_eq!(keep(text), Err(format!("{text:?} is not a number of files from 1 to 1000")));
        }
    }

    #[test]
    fn addresses_levels_and_truths_are_read_or_explained() {
        assert_eq!(address("[::1]:9520").unwrap().port(), 9520);
        assert!(address("localhost:9520").unwrap_err().contains("write 127.0.0.1:9520"));
        assert!(address("127.0.0.1").is_err());
        assert_eq!(level("DEBUG"), Ok(LevelFilter::Debug));
        assert!(level("loud").unwrap_err().contains("write off, error"));
        assert_eq!((boolean("true"), boolean("0")), (Ok(true), Ok(false)));
        assert!(boolean("yes").unwrap_err().contains("neither"));
    }
}
