//! A list as Cloudflare publishes it, as lines or as its API's JSON, and whether it can be true: a page of an error,
//! half an answer or a list of everything must never become the edge.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

use super::{EdgeRanges, RangesError, parse_range};

/// Most ranges of a true list; today's has 22.
const MAX_RANGES: usize = 1_000;
/// Widest range of a true list, as prefix length; today's are 13 and 29.
const WIDEST: (u8, u8) = (8, 19);
/// Most IPv4 addresses of a true list; today's has 1.5 million.
const MAX_IPV4: u64 = 1 << 25;
/// A new list keeps more than one part in this of the ranges of the old one.
const KEPT: usize = 2;

/// What is not routed on the internet, so can't be a visitor's way in.
const NOT_PUBLIC_V4: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
];
/// Inside the public part of IPv6, `2000::/3`.
const NOT_PUBLIC_V6: &[&str] = &["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];
const PUBLIC_V6: &str = "2000::/3";

/// The API's answer; what else it holds does not matter.
#[derive(Deserialize)]
struct Answer {
    success: bool,
    result: Option<Lists>,
}

#[derive(Deserialize)]
struct Lists {
    ipv4_cidrs: Vec<String>,
    ipv6_cidrs: Vec<String>,
}

/// The ranges of one published list, each possible for itself. `name` (the file or address) leads every error.
///
/// # Errors
/// Not a list, an empty one, or a range that can't be Cloudflare's.
pub fn parse(text: &str, name: &str) -> Result<EdgeRanges, RangesError> {
    let ranges = if text.trim_start().starts_with('{') { json(text, name)? } else { EdgeRanges::parse(text, name)? };
    for range in ranges.iter() {
        possible(range).map_err(|why| RangesError(format!("{name}: {range} {why}")))?;
    }
    Ok(ranges)
}

/// One list of several, possible as a whole.
///
/// # Errors
/// Too many ranges or addresses, or no IPv4 range.
pub fn join(lists: &[EdgeRanges]) -> Result<EdgeRanges, RangesError> {
    let names: Vec<_> = lists.iter().map(EdgeRanges::source).collect();
    let name = names.join(" and ");
    let all = EdgeRanges::sorted(lists.iter().flat_map(EdgeRanges::iter).collect(), name.clone());
    if all.count_ipv4() == 0 {
        return Err(RangesError(format!("{name}: no IPv4 range, so hardly the whole list")));
    }
    if all.len() > MAX_RANGES {
        return Err(RangesError(format!("{name}: {} ranges are more than {MAX_RANGES}", all.len())));
    }
    let addresses: u64 = all.iter().map(ipv4_addresses).sum();
    if addresses > MAX_IPV4 {
        return Err(RangesError(format!("{name}: {addresses} IPv4 addresses are more than {MAX_IPV4}")));
    }
    Ok(all)
}

/// Whether `new` may replace `old`: most ranges of a true list are still there after a change.
///
/// # Errors
/// Half of the old ranges are gone.
pub fn succeeds(new: &EdgeRanges, old: &EdgeRanges) -> Result<(), RangesError> {
    let gone = old.iter().filter(|range| !new.iter().any(|wide| wide.contains(range))).count();
    if gone * KEPT >= old.len() && gone > 0 {
        let (total, name) = (old.len(), old.source());
        return Err(RangesError(format!(
            "{gone} of the {total} ranges in {name} are not in the new list: half an answer? (remove the file to \
             accept it)"
        )));
    }
    Ok(())
}

fn json(text: &str, name: &str) -> Result<EdgeRanges, RangesError> {
    let answer: Answer = serde_json::from_str(text)
        .map_err(|error| RangesError(format!("{name} is JSON, but not the API's list of addresses: {error}")))?;
    let Some(lists) = answer.result.filter(|_| answer.success) else {
        return Err(RangesError(format!("{name}: the API says that it failed")));
    };
    let mut ranges = Vec::new();
    for (key, list) in [("ipv4_cidrs", lists.ipv4_cidrs), ("ipv6_cidrs", lists.ipv6_cidrs)] {
        if list.is_empty() {
            return Err(RangesError(format!("{name}: {key} is empty")));
        }
        for text in list {
            ranges.push(parse_range(&text).map_err(|why| RangesError(format!("{name}: {key}: {why}")))?);
        }
    }
    Ok(EdgeRanges::sorted(ranges, name.to_owned()))
}

fn possible(range: IpNet) -> Result<(), String> {
    let (widest, is_public) = match range {
        IpNet::V4(range) => (WIDEST.0, is_public_v4(range)),
        IpNet::V6(range) => (WIDEST.1, is_public_v6(range)),
    };
    if range.prefix_len() < widest {
        return Err(format!("is wider than /{widest}, so not Cloudflare's (a line cut off?)"));
    }
    if is_public { Ok(()) } else { Err("is not public, so not Cloudflare's".to_owned()) }
}

fn is_public_v4(range: Ipv4Net) -> bool {
    let others = NOT_PUBLIC_V4.iter().filter_map(|text| text.parse::<Ipv4Net>().ok());
    !others.into_iter().any(|other| other.contains(&range) || range.contains(&other))
}

fn is_public_v6(range: Ipv6Net) -> bool {
    let mut others = NOT_PUBLIC_V6.iter().filter_map(|text| text.parse::<Ipv6Net>().ok());
    PUBLIC_V6.parse::<Ipv6Net>().is_ok_and(|public| public.contains(&range))
        && !others.any(|other| other.contains(&range) || range.contains(&other))
}

fn ipv4_addresses(range: IpNet) -> u64 {
    match range {
        IpNet::V4(range) => 1 << (32 - range.prefix_len()),
        IpNet::V6(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, "ips").unwrap_err().to_string()
    }

    fn list(ranges: &[&str]) -> EdgeRanges {
        parse(&ranges.join("\n"), "ips").unwrap()
    }

    #[test]
    fn todays_list_is_possible_in_both_forms() {
        let today = EdgeRanges::builtin();
        let of = |v4: bool| {
            let ranges = today.iter().filter(|range| matches!(range, IpNet::V4(_)) == v4);
            ranges.map(|range| range.to_string()).collect::<Vec<_>>()
        };
        let lines = [parse(&of(true).join("\n"), "ips-v4").unwrap(), parse(&of(false).join("\n"), "ips-v6").unwrap()];
        let joined = join(&lines).unwrap();
        assert!(joined.iter().eq(today.iter()));
        assert_eq!(joined.source(), "ips-v4 and ips-v6");
        let answer = serde_json::json!({
            "result": {"ipv4_cidrs": of(true), "ipv6_cidrs": of(false), "etag": "x"},
            "success": true, "errors": [], "messages": [],
        });
        assert!(join(&[parse(&answer.to_string(), "api").unwrap()]).unwrap().iter().eq(today.iter()));
    }

    #[test]
    fn every_cut_within_a_line_is_refused_or_leaves_whole_ranges() {
        let text = EdgeRanges::builtin().iter().map(|range| format!("{range}\n")).collect::<String>();
        let today = EdgeRanges::builtin();
        for end in 0..text.len() {
            if let Ok(cut) = parse(&text[..end], "ips") {
                let last = text[..end].lines().last().unwrap();
                let wrong = cut.iter().filter(|range| !today.iter().any(|true_one| true_one == *range)).count();
                assert!(wrong <= 1, "{last}");
                let whole = text.lines().filter(|line| text[..end].contains(line)).count();
                assert!(whole * KEPT > today.len() || succeeds(&cut, &today).is_err(), "{last} of {end}");
            }
        }
    }

    #[test]
    fn ranges_that_cannot_be_cloudflares_are_named() {
        for wide in ["104.0.0.0/7", "2400::/12", "104.16.0.0/1"] {
            assert!(refused(wide).contains("is wider than /"), "{wide}: {}", refused(wide));
        }
        for own in [
            "10.0.0.0/8",
            "127.0.0.1",
            "192.168.1.0/24",
            "100.64.0.0/10",
            "198.51.100.7/32",
            "224.0.0.0/8",
            "255.255.255.255",
            "192.0.0.0/16",
            "fe80::/64",
            "fd00::/20",
            "::1",
            "2001:db8::/32",
            "2002:a00::/24",
            "2001::/19",
            "3fff::/24",
        ] {
            assert!(refused(own).contains("is not public"), "{own}: {}", refused(own));
        }
        assert!(refused("0.0.0.0/0").contains("any stranger"));
        assert!(refused("::/0").contains("any stranger"));
    }

    #[test]
    fn what_is_no_list_is_told() {
        assert!(refused("<!DOCTYPE html><title>Just a moment...</title>").contains("is an HTML page"));
        assert!(refused("").contains("holds no range"));
        assert!(refused("{\"success\":true").contains("not the API's list"));
        assert!(refused("{\"success\":false,\"errors\":[]}").contains("says that it failed"));
        let empty = "{\"success\":true,\"result\":{\"ipv4_cidrs\":[\"104.16.0.0/13\"],\"ipv6_cidrs\":[]}}";
        assert!(refused(empty).contains("ipv6_cidrs is empty"));
    }

    #[test]
    fn lists_of_too_much_or_of_one_family_are_refused() {
        let many: Vec<_> = (0..=MAX_RANGES).map(|n| format!("104.{}.{}.0/24", n / 256, n % 256)).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(join(&[list(&many)]).unwrap_err().to_string().contains("more than 1000"));
        let wide = list(&["104.0.0.0/8", "105.0.0.0/8", "106.0.0.0/8"]);
        assert!(join(&[wide]).unwrap_err().to_string().contains("IPv4 addresses are more than"));
        assert!(join(&[list(&["2606:4700::/32"])]).unwrap_err().to_string().contains("no IPv4 range"));
    }

    #[test]
    fn list_that_lost_most_of_the_old_one_is_refused() {
        let old = list(&["104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13", "2606:4700::/32"]);
        assert!(
            succeeds(&list(&["104.16.0.0/12", "172.64.0.0/13", "1.1.1.0/24"]), &old).is_ok(),
            "two are in a wider one"
        );
        let error = succeeds(&list(&["104.16.0.0/13"]), &old).unwrap_err().to_string();
        assert!(error.starts_with("3 of the 4 ranges in ips are not in the new list"), "{error}");
    }
}
