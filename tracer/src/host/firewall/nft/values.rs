//! Values in nft's JSON: addresses, ports and flags; and conditions in words.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::rules::tcp_flag;

/// Longest list that is shown in a rule's words, in characters.
const SHOWN: usize = 60;

/// A set's element without its timeout, counter or comment.
pub(super) fn unwrap(element: &Value) -> &Value {
    match element.get("elem") {
        Some(inner) => inner.get("val").unwrap_or(inner),
        None => element,
    }
}

/// The addresses of an element: one, a prefix or a range.
pub(super) fn interval(element: &Value) -> Option<(IpAddr, IpAddr)> {
    let addr = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let element = match element.as_array().map(Vec::as_slice) {
        // A map's element begins with its key.
        Some([key, _]) => unwrap(key),
        _ => unwrap(element),
    };
    if let Some(prefix) = element.get("prefix") {
        let net = IpNet::new(addr(&prefix["addr"])?, u8::try_from(prefix["len"].as_u64()?).ok()?).ok()?;
        return Some((net.network(), net.broadcast()));
    }
    if let Some([first, last]) = element["range"].as_array().map(Vec::as_slice) {
        return Some((addr(first)?, addr(last)?));
    }
    addr(element).map(|addr| (addr, addr))
}

/// The ports of an element: one or a range.
pub(super) fn ports(element: &Value) -> Option<(u16, u16)> {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let element = unwrap(element);
    if let Some([first, last]) = element["range"].as_array().map(Vec::as_slice) {
        return Some((port(first)?, port(last)?));
    }
    port(element).map(|port| (port, port))
}

/// TCP flags, combined as nft writes them: a name, a number, a list, or a disjunction.
pub(super) fn flags(value: &Value) -> Option<u8> {
    match value {
        Value::String(name) => tcp_flag(name),
        Value::Number(bits) => u8::try_from(bits.as_u64()?).ok(),
        Value::Array(list) => list.iter().try_fold(0, |all, one| Some(all | flags(one)?)),
        Value::Object(map) => flags(map.get("|")?),
        _ => None,
    }
}

/// What a condition looks at, as nft writes it.
pub(super) fn left(value: &Value) -> String {
    let text = |part: &Value| part.as_str().unwrap_or("?").to_owned();
    match value.as_object().and_then(|map| map.iter().next()) {
        Some((kind, of)) if kind == "payload" => format!("{} {}", text(&of["protocol"]), text(&of["field"])),
        Some((kind, of)) if kind == "meta" => text(&of["key"]),
        Some((kind, of)) if kind == "ct" => format!("ct {}", text(&of["key"])),
        Some((kind, of)) if kind == "fib" => format!("fib {}", text(&of["result"])),
        Some((kind, of)) if kind == "&" => left(&of[0]),
        Some((kind, _)) => kind.clone(),
        None => "?".to_owned(),
    }
}

/// A condition in nft's words, shortened.
pub(super) fn condition(value: &Value) -> String {
    let op = match value["op"].as_str() {
        Some("==" | "in") | None => String::new(),
        Some(op) => format!("{op} "),
    };
    format!("{} {op}{}", left(&value["left"]), shortened(&right(&value["right"])))
}

fn right(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(right).collect::<Vec<_>>().join(","),
        Value::Object(map) => match map.iter().next() {
            Some((kind, list)) if kind == "set" => format!("{{ {} }}", right(list)),
            Some((kind, of)) if kind == "prefix" => format!("{}/{}", right(&of["addr"]), of["len"]),
            Some((kind, of)) if kind == "range" => format!("{}-{}", right(&of[0]), right(&of[1])),
            Some((kind, _)) if kind == "elem" => right(unwrap(value)),
            Some((_, of)) => right(of),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain("…".chars()).collect()
    }
}
