//! Where in a file a uprobe sees the secrets of TLS handshakes: the function that its library logs them with.
//!
//! OpenSSL, BoringSSL, GnuTLS and Go call that function in every handshake, whether or not anybody asked for a log. For
//! rustls it is the one that takes the keys. It is found in the bytes of the file alone; these may be hostile: all work
//! is bounded, and nothing panics. A file in which nothing sure is found is refused.

mod aes;
mod elf;
mod entry;
mod golang;
mod label;
mod name;
#[cfg(test)]
mod tests;
mod types;

use elf::Image;
pub use elf::extent;
pub use types::{Library, NotFound, Shape, Site};

/// The site in a file of which at least the first [`extent`] bytes are given.
pub fn find(file: &[u8]) -> Result<Site, NotFound> {
    let image = Image::parse(file)?;
    // Each search goes through the whole file: none in vain.
    let (is_c, is_go) = (label::stands_in(file), golang::stands_in(file));
    let in_go =
        if is_go { image.check_machine().and_then(|()| golang::find(&image)) } else { Err(NotFound::NoLibrary) };
    let in_c = if is_c { image.check_machine().and_then(|()| label::find(&image)) } else { Err(NotFound::NoLibrary) };
    match (in_go, in_c) {
        (Ok(_), Ok(_)) => Err(NotFound::Several),
        (Ok(function), Err(_)) => {
            site(&image, &[function], Shape::GoKeyLog, (Library::Go, name::go(file).unwrap_or_default()))
        }
        (Err(_), Ok(found)) => {
            let (library, version) = name::of_c(file);
            if library == Library::Unnamed && !found.confirmed {
                return Err(NotFound::Several);
            }
            site(&image, &[found.address], Shape::LogSecret, (library, version))
        }
        // A label may stand in the file without its function: a program that reads key logs has it, too.
        (Err(NotFound::NoLibrary), Err(NotFound::NoLibrary | NotFound::NoCall)) if aes::stands_in(file) => {
            image.check_machine()?;
            let functions = aes::find(&image)?;
            site(&image, &functions, Shape::AesKey, (Library::Rustls, name::rustls(file).unwrap_or_default()))
        }
        (Err(NotFound::NoLibrary), Err(why)) | (Err(why), Err(_)) => Err(why),
    }
}

/// The places in these functions.
fn site(
    image: &Image<'_>,
    functions: &[u64],
    shape: Shape,
    (library, version): (Library, String),
) -> Result<Site, NotFound> {
    let entries: Vec<_> =
        functions.iter().map(|function| entry::choose(image, *function, shape)).collect::<Result<_, _>>()?;
    let offsets: Option<Vec<u64>> = entries.iter().map(|entry| image.code_offset(entry.address)).collect();
    let mut offsets = offsets.ok_or(NotFound::NoFunction)?.into_iter();
    let (Some(offset), Some(entry), Some(function)) = (offsets.next(), entries.first(), functions.first()) else {
        return Err(NotFound::NoFunction);
    };
    Ok(Site {
        offset,
        more: offsets.collect(),
        shape: entry.shape,
        emulated: entries.iter().all(|entry| entry.emulated),
        function: image.code_offset(*function).ok_or(NotFound::NoFunction)?,
        library,
        version,
        build_id: image.build_id(),
    })
}
