//! What lines are read from: a file, packed or not.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a file; one that gzip packed is unpacked as it is read.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file any more"));
    }
    let mut start = Vec::new();
    file.by_ref().take(GZIP.len() as u64).read_to_end(&mut start)?;
    let is_packed = start == GZIP;
    let whole = Cursor::new(start).chain(file);
    Ok(if is_packed { Box::new(MultiGzDecoder::new(io::BufReader::new(whole))) } else { Box::new(whole) })
}
