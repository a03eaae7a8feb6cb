//! Which exposition format and which encoding a scraper asks for.

/// Whether OpenMetrics 1.0 is asked for, and not liked less than plain text.
pub(super) fn wants_openmetrics<'a>(accepts: impl Iterator<Item = &'a str>) -> bool {
    let (mut openmetrics, mut plain) = (0.0_f32, 0.0_f32);
    for range in accepts.flat_map(|header| header.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.parse().unwrap_or(0.0),
                "version" => version = Some(value),
                _ => {}
            }
        }
        match kind.as_str() {
            "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                openmetrics = openmetrics.max(quality);
            }
            "text/plain" if version.is_none_or(|version| version == "0.0.4") => plain = plain.max(quality),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= plain
}

/// Whether the response may be sent in gzip's format; only where it is asked for by name.
pub(super) fn accepts_gzip<'a>(accepts: impl Iterator<Item = &'a str>) -> bool {
    accepts.flat_map(|header| header.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight =
            parts.filter_map(|part| part.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
        let quality = weight.map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0));
        name.eq_ignore_ascii_case("gzip") && quality > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(accept: &str) -> bool {
        wants_openmetrics([accept].into_iter())
    }

    #[test]
    fn what_prometheus_servers_send_gets_openmetrics() {
        for accept in [
            concat!(
                " application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
                "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,",
                "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            ),
            concat!(
                " application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,",
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
        ] {
            assert!(wants(accept), "{accept}");
        }
    }

    #[test]
    fn everyone_else_gets_plain_text() {
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0",
            "application/openmetrics-text;version=1.0.0;q=x",
            "application/openmetrics-text;version=0.0.1",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants_openmetrics(std::iter::empty()));
    }

    #[test]
    fn gzip_is_sent_only_where_it_is_named_and_not_refused() {
        let gzip = |accept| accepts_gzip([accept].into_iter());
        for accept in ["gzip", "deflate, gzip;q=0.5", "GZip ; Q=1", "br;q=1.0, gzip;q=0.8, *;q=0.1"] {
            assert!(gzip(accept), "{accept}");
        }
        for accept in ["", "*", "identity", "gzip;q=0", "gzip;q=0.000", "gzip;q=x", "x-gzip-not", "br"] {
            assert!(!gzip(accept), "{accept}");
        }
        assert!(!accepts_gzip(std::iter::empty()));
    }

    #[test]
    fn preferences_may_come_in_several_header_lines() {
        assert!(wants_openmetrics(["text/plain;q=0.5", "application/openmetrics-text"].into_iter()));
    }
}
