//! The web config file's YAML: known keys only, each error with file, line and key.

use std::collections::BTreeMap;
use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::place::Named;
use super::policy::Policy;
use super::stamp::Stamps;
use super::tls;
use super::users::Users;
use crate::config::{Invalid, read_text};

/// Header fields that the file may set: those that every exporter takes.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Content {
    tls_server_config: Option<tls::Section>,
    http_server_config: Option<HttpSection>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    /// Taken because shared files hold it; only HTTP/1.1 is spoken here.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

/// Reads the file and all that it names.
pub(super) fn read(path: &Path, stamps: &mut Stamps) -> Result<Policy, Invalid> {
    let name = Named { path };
    stamps.take(path);
    let text = read_text(path).map_err(|why| Invalid::new(format!("web config file {}: {why}", path.display())))?;
    let content = parse(name, &text)?;
    let headers = content.http_server_config.and_then(|section| section.headers).unwrap_or_default();
    Ok(Policy {
        asks_clients: content.tls_server_config.as_ref().is_some_and(tls::Section::asks_clients),
        tls: content.tls_server_config.map_or(Ok(None), |section| tls::server(name, &section, stamps))?,
        users: content.basic_auth_users.map_or(Ok(None), |users| Users::new(name, users))?,
        headers: headers.iter().map(|(key, value)| header(name, key, value)).collect::<Result<_, _>>()?,
    })
}

fn parse(name: Named<'_>, text: &str) -> Result<Content, Invalid> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Content::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        let why = error.without_snippet().to_string();
        let why = why.lines().next().unwrap_or_default();
        Invalid::new(format!("{}:{line}: {why}", name.path.display()))
    })
}

fn header(name: Named<'_>, key: &str, value: &Spanned<String>) -> Result<(HeaderName, HeaderValue), Invalid> {
    let wrong = |why: &str| name.wrong(value.referenced.line(), &format!("headers: {key}"), why);
    let known = HEADERS.iter().find(|known| known.eq_ignore_ascii_case(key));
    let known = known.ok_or_else(|| wrong(&format!("can't be set (there are {})", HEADERS.join(", "))))?;
    let field = HeaderName::from_bytes(known.as_bytes()).map_err(|_| wrong("not a field name"))?;
    let text = HeaderValue::from_str(&value.value).map_err(|_| wrong("not a field value (a control character?)"))?;
    Ok((field, text))
}
