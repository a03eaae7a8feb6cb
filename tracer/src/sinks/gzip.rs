//! Text in gzip's format, for scrapers that accept it.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The text, compressed fast: a scrape waits for it, and repeated label names shrink at any level.
pub(super) fn compress(text: &str) -> Vec<u8> {
    let encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    // Writing to memory can't fail.
    write(encoder, text).unwrap_or_default()
}

fn write(mut encoder: GzEncoder<Vec<u8>>, text: &str) -> io::Result<Vec<u8>> {
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}
