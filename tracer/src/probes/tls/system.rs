//! The system's shared TLS libraries: those that its dynamic loader takes.
//!
//! A probe in them before a server starts sees that server's first handshake: to find and probe a library takes some
//! 20 ms, and a server may accept sooner.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use log::debug;
use rustix::fd::{AsRawFd as _, OwnedFd};

use super::open::{self, Identity};

/// Where the loader keeps what it found (ldconfig(8)).
const CACHE: &str = "/etc/ld.so.cache";
/// More bytes of it than this are not read. A server of a thousand libraries has a tenth of a megabyte.
const CACHE_BYTES: u64 = 4 << 20;
/// What begins the part of the cache that is read (glibc's `elf/dl-cache.h`), and the sizes of its header and entries.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// The flags of a library for the C library 6 on x86-64.
const X86_64: u32 = 0x0303;

/// OpenSSL's library, by the beginning of its name; those names that are looked for where there is no cache (musl), and
/// where.
const NAME: &[u8] = b"libssl.so";
const NAMES: [&str; 3] = ["libssl.so.4", "libssl.so.3", "libssl.so.1.1"];
const FOLDERS: [&str; 4] = ["/lib", "/usr/local/lib", "/usr/lib", "/usr/lib64"];

/// Paths that are looked at; a cache that names more has its first ones looked at.
const PATHS: usize = 16;

/// The system's libraries, which may be replaced at any time.
#[derive(Default)]
pub struct System {
    cache: Option<Identity>,
    paths: Vec<PathBuf>,
}

impl System {
    /// The libraries as they are now, each with its path: regular files that only root can change.
    pub fn files(&mut self) -> Vec<(String, File, Identity)> {
        open::root().map(|root| self.files_below(&root)).unwrap_or_default()
    }

    fn files_below(&mut self, root: &OwnedFd) -> Vec<(String, File, Identity)> {
        self.find(root);
        let mut files: Vec<(String, File, Identity)> = Vec::new();
        for path in &self.paths {
            let Some((file, identity)) = trusted(root, path) else { continue };
            if !files.iter().any(|(_, _, known)| *known == identity) {
                files.push((name(&file, path), file, identity));
            }
        }
        files
    }

    /// Reads the loader's cache, if it is another one than the last time.
    fn find(&mut self, root: &OwnedFd) {
        let cache = trusted(root, Path::new(CACHE));
        let identity = cache.as_ref().map(|(_, identity)| *identity);
        if identity.is_some() && identity == self.cache {
            return;
        }
        let mut bytes = Vec::new();
        let read = cache.map(|(file, _)| file.take(CACHE_BYTES).read_to_end(&mut bytes));
        if let Some(Err(error)) = read {
            debug!("reading {CACHE}: {error}");
        }
        self.cache = identity;
        self.paths = if bytes.is_empty() { usual() } else { named(&bytes) };
    }
}

/// Where the libraries usually are.
fn usual() -> Vec<PathBuf> {
    FOLDERS.iter().flat_map(|folder| NAMES.map(|name| Path::new(folder).join(name))).collect()
}

/// A regular file below this root that only root can change.
fn trusted(root: &OwnedFd, path: &Path) -> Option<(File, Identity)> {
    const OTHERS_WRITE: u32 = 0o022;
    let (file, identity) = open::regular_below(root, path).ok()?;
    let metadata = file.metadata().ok()?;
    (metadata.uid() == 0 && metadata.mode() & OTHERS_WRITE == 0).then_some((file, identity))
}

/// The path of an open file without its links, as `/proc/PID/maps` has it; else the one that led to it.
fn name(file: &File, path: &Path) -> String {
    let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    link.as_deref().unwrap_or(path).to_string_lossy().escape_debug().to_string()
}

/// The paths under which a cache of the loader names OpenSSL's library for x86-64.
fn named(cache: &[u8]) -> Vec<PathBuf> {
    // Before glibc 2.32 an older form stands in front of it.
    let Some(cache) = memchr::memmem::find(cache, MAGIC).and_then(|start| cache.get(start..)) else {
        return Vec::new();
    };
    let entries = word(cache, MAGIC.len()).unwrap_or(0) as usize;
    let table = cache.get(HEADER..).unwrap_or_default();
    let paths = table.as_chunks::<ENTRY>().0.iter().take(entries).filter_map(|entry| {
        let (flags, name, path) = (word(entry, 0)?, word(entry, 4)?, word(entry, 8)?);
        let wanted = flags == X86_64 && text(cache, name)?.starts_with(NAME);
        wanted.then(|| text(cache, path)).flatten().filter(|path| path.starts_with(b"/"))
    });
    paths.take(PATHS).map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The text at an offset, up to its NUL.
fn text(bytes: &[u8], at: u32) -> Option<&[u8]> {
    const LONGEST: usize = 4_096;
    let bytes = bytes.get(usize::try_from(at).ok()?..)?;
    bytes.get(..memchr::memchr(0, bytes.get(..bytes.len().min(LONGEST))?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache of these libraries, by flags, name and path, behind what older versions of glibc put in front of it.
    fn cache(libraries: &[(u32, &str, &str)], before: &[u8]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut texts = Vec::new();
        let strings = HEADER + libraries.len() * ENTRY;
        for (flags, name, path) in libraries {
            let mut place = |text: &str| {
                let at = u32::try_from(strings + texts.len()).unwrap();
                texts.extend(text.bytes().chain([0]));
                at
            };
            let words = [*flags, place(name), place(path), 0, 0, 0];
            entries.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        let mut header = MAGIC.to_vec();
        header.extend(u32::try_from(libraries.len()).unwrap().to_le_bytes());
        header.resize(HEADER, 0);
        [before, &header, &entries, &texts].concat()
    }

    const LIBRARIES: [(u32, &str, &str); 5] = [
        (X86_64, "libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"),
        (X86_64, "libssl.so.3", "/lib/x86_64-linux-gnu/libssl.so.3"),
        (0x0003, "libssl.so.3", "/lib/i386-linux-gnu/libssl.so.3"),
        (X86_64, "libssl.so.1.1", "/opt/old/libssl.so.1.1"),
        (X86_64, "libssl.so.9", "relative/libssl.so.9"),
    ];

    #[test]
    fn a_cache_names_the_libraries_of_this_machine_in_its_old_form_and_its_new_one() {
        let expected = ["/lib/x86_64-linux-gnu/libssl.so.3", "/opt/old/libssl.so.1.1"].map(PathBuf::from);
        assert_eq!(named(&cache(&LIBRARIES, b"")), expected);
        assert_eq!(named(&cache(&LIBRARIES, b"ld.so-1.7.0\0\x01\0\0\0rest")), expected);
        assert_eq!(named(b"something else"), Vec::<PathBuf>::new());
    }

    #[test]
    fn no_cut_and_no_changed_byte_of_a_cache_panics_and_paths_are_bounded() {
        let sample = cache(&LIBRARIES, b"");
        for len in 0..sample.len() {
            assert!(named(&sample[..len]).len() <= 2);
        }
        for at in 0..sample.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut changed = sample.clone();
                changed[at] = byte;
                assert!(named(&changed).len() <= LIBRARIES.len());
            }
        }
        assert_eq!(named(&cache(&[LIBRARIES[1]; PATHS + 1], b"")).len(), PATHS);
    }

    #[test]
    fn a_replaced_library_is_another_file_and_one_that_others_can_write_to_is_none() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root, who owns the libraries");
        }
        let folder = std::env::temp_dir().join(format!("tracer-system-{}", std::process::id()));
        for inner in ["etc", "lib", "opt/old"] {
            fs::create_dir_all(folder.join(inner)).unwrap();
        }
        let root: OwnedFd = File::open(&folder).unwrap().into();
        let (cached, usual) = (folder.join("opt/old/libssl.so.1.1"), folder.join("lib/libssl.so.3"));
        fs::write(&cached, "cached").unwrap();
        fs::write(&usual, "usual").unwrap();
        let mut system = System::default();
        let mut sizes = || system.files_below(&root).iter().map(|(_, _, identity)| identity.size).collect::<Vec<_>>();
        assert_eq!(sizes(), [5], "without a cache, where it usually is");
        fs::write(folder.join(&CACHE[1..]), cache(&LIBRARIES, b"")).unwrap();
        assert_eq!(sizes(), [6]);
        fs::remove_file(&cached).unwrap();
        assert_eq!(sizes(), [0; 0]);
        fs::write(&cached, "upgraded").unwrap();
        assert_eq!(sizes(), [8]);
        fs::set_permissions(&cached, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(sizes(), [0; 0]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_library_that_the_loader_takes_here_is_found_once() {
        let files = System::default().files();
        let Some((path, _, _)) = files.iter().find(|(path, ..)| path.contains("libssl.so.3")) else {
            return println!("skipped: the loader knows no OpenSSL 3 for x86-64 on this machine");
        };
        let same = files.iter().filter(|(other, ..)| other == path).count();
        assert_eq!((same, Path::new(path).is_absolute()), (1, true), "{files:?}");
    }
}
