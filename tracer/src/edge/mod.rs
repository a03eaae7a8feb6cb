//! Which addresses count as Cloudflare's edge: the published list, or one that the user gives.

pub mod published;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use ipnet::{IpNet, Ipv4Net};
use jiff::{Timestamp, civil, tz::TimeZone};

/// Day of the published list that is built in.
pub const BUILTIN_DATE: &str = "2026-10-14";

const BUILTIN: &[&str] = &[
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

/// Prefix length of `::ffff:0:0/96`, under which the kernel files every IPv4 peer.
const MAPPED_PREFIX: u8 = 96;

/// A range or a list of ranges that can't be used: where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangesError(String);

impl fmt::Display for RangesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RangesError {}

/// The edge's ranges: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeRanges {
    ranges: Vec<IpNet>,
    source: String,
    date: Option<Timestamp>,
}

impl EdgeRanges {
    /// Cloudflare's published list as of [`BUILTIN_DATE`].
    #[must_use]
    pub fn builtin() -> Self {
        let ranges = BUILTIN.iter().filter_map(|text| text.parse().ok()).collect();
        let published = BUILTIN_DATE.parse::<civil::Date>().and_then(|day| day.to_zoned(TimeZone::UTC));
        let date = published.ok().map(|day| day.timestamp());
        Self { date, ..Self::sorted(ranges, format!("Cloudflare's published list of {BUILTIN_DATE}, built in")) }
    }

    /// Reads a list: one CIDR a line, `#` comments. `name` (the file) leads every error.
    ///
    /// # Errors
    /// A line that is not a usable range, a list without one, a web page or JSON in place of a list.
    pub fn parse(text: &str, name: &str) -> Result<Self, RangesError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().chars().next() {
            Some('<') => return Err(RangesError(format!("{name} is an HTML page, not a list with one CIDR a line"))),
            Some('{' | '[') => return Err(RangesError(format!("{name} is JSON, not a list with one CIDR a line"))),
            _ => {}
        }
        let mut ranges = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let range = parse_range(line).map_err(|why| RangesError(format!("{name}:{number}: {why}")))?;
                ranges.push(range);
            }
        }
        if ranges.is_empty() {
            return Err(RangesError(format!("{name} holds no range: nothing would count as the edge")));
        }
        Ok(Self::sorted(ranges, name.to_owned()))
    }

    /// The same and `extra`.
    #[must_use]
    pub fn with_extra(mut self, extra: &[IpNet]) -> Self {
        if !extra.is_empty() {
            self.ranges.extend(extra);
            let date = self.date;
            self = Self::sorted(self.ranges, format!("{}, and {} added", self.source, extra.len()));
            self.date = date;
        }
        self
    }

    /// The same, with the time at which its file was written.
    #[must_use]
    pub fn written(mut self, at: Option<SystemTime>) -> Self {
        self.date = at.and_then(|at| Timestamp::try_from(at).ok());
        self
    }

    /// The narrowest range that holds `addr`; an IPv4-mapped address counts as IPv4.
    #[must_use]
    pub fn range_of(&self, addr: IpAddr) -> Option<IpNet> {
        let addr = addr.to_canonical();
        self.iter().filter(|range| range.contains(&addr)).max_by_key(IpNet::prefix_len)
    }

    /// Every range, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.ranges.iter().copied()
    }

    /// How many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many IPv4 ranges there are.
    #[must_use]
    pub fn count_ipv4(&self) -> usize {
        self.iter().filter(|range| matches!(range, IpNet::V4(_))).count()
    }

    /// How many IPv6 ranges there are.
    #[must_use]
    pub fn count_ipv6(&self) -> usize {
        self.len() - self.count_ipv4()
    }

    /// Where the list comes from, in words.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// When the list was published (the built-in one) or its file written, if that is known. Added ranges have no date.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.date
    }

    fn sorted(mut ranges: Vec<IpNet>, source: String) -> Self {
        ranges.sort_unstable();
        ranges.dedup();
        Self { ranges, source, date: None }
    }
}

/// Reads one range: a CIDR, or an address that stands for itself. Host bits are cleared, IPv4-mapped ranges are IPv4.
///
/// # Errors
/// Not a range, or one so wide that every visitor of the host would count as the edge.
pub fn parse_range(text: &str) -> Result<IpNet, RangesError> {
    let range = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let range = range.ok_or_else(|| {
        RangesError(format!("{text:?} is not a CIDR (write an address and a prefix length: 173.245.48.0/20)"))
    })?;
    let range = canonical(range.trunc());
    if covers_all_ipv4(range) {
        return Err(RangesError(format!("{text:?} holds every IPv4 address: any stranger would count as the edge")));
    }
    Ok(range)
}

/// An IPv4-mapped range as the IPv4 range that it is.
fn canonical(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else { return range };
    let Some(addr) = mapped.addr().to_ipv4_mapped() else { return range };
    let length = mapped.prefix_len().checked_sub(MAPPED_PREFIX);
    length.and_then(|length| Ipv4Net::new(addr, length).ok()).map_or(range, IpNet::V4)
}

fn covers_all_ipv4(range: IpNet) -> bool {
    match range {
        IpNet::V4(range) => range.prefix_len() == 0,
        IpNet::V6(range) => {
            range.prefix_len() <= MAPPED_PREFIX && range.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn refused(text: &str) -> String {
        parse_range(text).unwrap_err().to_string()
    }

    #[test]
    fn builtin_list_is_complete_sorted_and_unique() {
        let ranges = EdgeRanges::builtin();
        assert_eq!((ranges.len(), ranges.count_ipv4(), ranges.count_ipv6()), (BUILTIN.len(), 15, 7));
        assert!(ranges.iter().is_sorted());
        assert!(ranges.source().contains(BUILTIN_DATE));
        assert_eq!(ranges.date().unwrap().to_string(), format!("{BUILTIN_DATE}T00:00:00Z"));
    }

    #[test]
    fn edge_addresses_are_found_with_their_range_and_strangers_are_not() {
        let ranges = EdgeRanges::builtin();
        let found = |text| ranges.range_of(ip(text)).map(|range| range.to_string());
        assert_eq!(found("173.245.48.10").as_deref(), Some("173.245.48.0/20"));
        assert_eq!(found("::ffff:173.245.63.255").as_deref(), Some("173.245.48.0/20"));
        assert_eq!(found("2606:4700::1").as_deref(), Some("2606:4700::/32"));
        assert_eq!(found("173.245.64.0"), None);
        assert_eq!(found("2001:db8::1"), None);
    }

    #[test]
    fn narrowest_of_nested_ranges_wins() {
        let ranges = EdgeRanges::parse("10.0.0.0/8\n10.1.0.0/16\n10.1.2.0/24\n", "list").unwrap();
        assert_eq!(ranges.range_of(ip("10.1.2.3")).unwrap().to_string(), "10.1.2.0/24");
        assert_eq!(ranges.range_of(ip("10.1.9.9")).unwrap().to_string(), "10.1.0.0/16");
    }

    #[test]
    fn list_takes_comments_blank_lines_windows_ends_a_mark_and_no_final_newline() {
        let text = "\u{feff}# edge\r\n\r\n 10.0.0.0/8 # lab\r\n2001:db8::/32\r\n10.0.0.0/8";
        let ranges = EdgeRanges::parse(text, "list").unwrap();
        assert_eq!(ranges.iter().map(|range| range.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(ranges.source(), "list");
    }

    #[test]
    fn host_bits_are_cleared_and_bare_or_mapped_addresses_are_taken() {
        let read = |text| parse_range(text).unwrap().to_string();
        assert_eq!(read("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(read("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(read("2001:db8::7"), "2001:db8::7/128");
        assert_eq!(read("::ffff:192.0.2.0/120"), "192.0.2.0/24");
        assert_eq!(read("::ffff:192.0.2.7"), "192.0.2.7/32");
    }

    #[test]
    fn bad_ranges_are_named_with_their_line() {
        let error = EdgeRanges::parse("10.0.0.0/8\n\n1.2.3.4/33\n", "edge.txt").unwrap_err().to_string();
        assert!(error.starts_with("edge.txt:3: \"1.2.3.4/33\" is not a CIDR"), "{error}");
        for text in ["", "10.0.0.0/", "/8", "10.0.0/8", "10.0.0.0/8/8", "10.0.0.0/-1", "a.b.c.d/8", "2001:db8::/129"] {
            assert!(refused(text).contains("is not a CIDR"), "{text}");
        }
    }

    #[test]
    fn ranges_that_hold_everyone_are_refused() {
        for text in ["0.0.0.0/0", "1.2.3.4/0", "::/0", "::ffff:0:0/96", "::/64", "::ffff:1.2.3.4/96"] {
            assert!(refused(text).contains("any stranger would count as the edge"), "{text}");
        }
        assert!(parse_range("::/96").is_ok(), "holds no IPv4-mapped address");
    }

    #[test]
    fn lists_that_are_something_else_are_told_apart() {
        let refused = |text| EdgeRanges::parse(text, "ips").unwrap_err().to_string();
        assert_eq!(refused("\n <!DOCTYPE html>"), "ips is an HTML page, not a list with one CIDR a line");
        assert_eq!(refused("{\"result\":{}}"), "ips is JSON, not a list with one CIDR a line");
        assert!(refused("# nothing\n\n").starts_with("ips holds no range"));
        assert!(refused("").starts_with("ips holds no range"));
    }

    #[test]
    fn added_ranges_join_the_list_once() {
        let extra = [parse_range("10.99.0.0/24").unwrap(), parse_range("173.245.48.0/20").unwrap()];
        let ranges = EdgeRanges::builtin().with_extra(&extra);
        assert_eq!(ranges.len(), BUILTIN.len() + 1);
        assert!(ranges.source().ends_with("and 2 added"));
        assert!(ranges.range_of(ip("10.99.0.1")).is_some());
        assert_eq!(ranges.date(), EdgeRanges::builtin().date());
        assert_eq!(EdgeRanges::builtin().with_extra(&[]), EdgeRanges::builtin());
    }
}
