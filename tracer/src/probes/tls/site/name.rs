//! Which library a file holds, and in which version, by the texts in it.

use memchr::memmem;

use super::types::Library;

/// Places of a text that are looked at.
const PLACES: usize = 64;
/// The longest version that is kept.
const VERSION: usize = 48;

/// Texts that tell a library in C or C++, the surest first.
const TEXTS: [(&[u8], Library); 6] = [
    (b"OPENSSL_3.0.0\0", Library::OpenSsl3),
    (b"OPENSSL_1_1_1\0", Library::OpenSsl1),
    (b"ssl/ssl_lib.cc\0", Library::BoringSsl),
    (b"BoringSSL\0", Library::BoringSsl),
    (b"AWS-LC", Library::BoringSsl),
    (b"GNUTLS_3_", Library::GnuTls),
];

/// The library in C or C++, and its version.
pub(super) fn of_c(bytes: &[u8]) -> (Library, String) {
    let version = openssl(bytes);
    let by_version = version.as_deref().and_then(|version| match version.as_bytes() {
        [b'3', ..] => Some(Library::OpenSsl3),
        [b'1', ..] => Some(Library::OpenSsl1),
        _ => None,
    });
    let by_text = || TEXTS.iter().find(|(text, _)| memmem::find(bytes, text).is_some()).map(|(_, library)| *library);
    let library = by_version.or_else(by_text).unwrap_or(Library::Unnamed);
    (library, version.unwrap_or_default())
}

/// The version in a text such as `OpenSSL 3.0.19 27 Jan 2026`.
fn openssl(bytes: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"OpenSSL ";
    memmem::find_iter(bytes, NAME).take(PLACES).find_map(|place| {
        let rest = bytes.get(place + NAME.len()..)?;
        let version = printable(rest.split(|byte| *byte == b' ').next()?)?;
        let day = rest.get(version.len()..)?.iter().find(|byte| **byte != b' ')?;
        let has_three_numbers = version.split('.').count() == 3 && version.starts_with(|c: char| c.is_ascii_digit());
        (has_three_numbers && day.is_ascii_digit()).then_some(version)
    })
}

/// Go's version, such as `go1.21.13`, from the file's build information (<https://pkg.go.dev/debug/buildinfo>), where
/// it stands in the form of Go 1.18 and later.
pub(super) fn go(bytes: &[u8]) -> Option<String> {
    const INLINE: u8 = 2;
    memmem::find_iter(bytes, b"\xff Go buildinf:").take(PLACES).find_map(|place| {
        let info = bytes.get(place..)?;
        if info.get(15)? & INLINE == 0 {
            return None;
        }
        let len = usize::from(*info.get(32)?);
        printable(info.get(33..)?.get(..len)?).filter(|version| version.starts_with("go"))
    })
}

/// The version of rustls, from the path of one of its source files, which stands in its panic messages.
pub(super) fn rustls(bytes: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"/rustls-";
    memmem::find_iter(bytes, NAME).take(PLACES).find_map(|place| {
        let rest = bytes.get(place + NAME.len()..)?;
        let version = printable(rest.split(|byte| *byte == b'/').next()?)?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
    })
}

/// A short text without control characters.
fn printable(bytes: &[u8]) -> Option<String> {
    let is_one = !bytes.is_empty() && bytes.len() <= VERSION && bytes.iter().all(u8::is_ascii_graphic);
    is_one.then(|| String::from_utf8_lossy(bytes).into_owned())
}
