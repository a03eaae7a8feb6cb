//! A process that maps a library of a TLS library's form: `sleep`, with that library preloaded or as its copy.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use super::*;

/// Where Debian and Fedora keep OpenSSL's.
const LIBSSL: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib64/libssl.so.3"];

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of OpenSSL's library in a folder of its own, and a process that maps it; `None`: not on this machine.
fn preloaded(name: &str) -> Option<(PathBuf, Sleeper)> {
    let Some(libssl) = LIBSSL.iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: no OpenSSL 3 for x86-64 on this machine");
        return None;
    };
    let copy = env::temp_dir().join(format!("tracer-libraries-{}-{name}.so", process::id()));
    fs::copy(libssl, &copy).unwrap();
    let mut command = Command::new("sleep");
    let sleeper = Sleeper(command.arg("60").env("LD_PRELOAD", &copy).stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_mapped = |name: &str| {
        let maps = fs::read_to_string(format!("/proc/{}/maps", sleeper.0.id())).unwrap_or_default();
        maps.lines().any(|line| line.contains(" r-xp ") && line.ends_with(name))
    };
    while !is_mapped(copy.to_str().unwrap()) {
        assert!(Instant::now() < deadline, "sleep did not load {}", copy.display());
        thread::sleep(Duration::from_millis(5));
    }
    Some((copy, sleeper))
}

fn all(libraries: &mut Libraries, pid: u32) -> io::Result<Vec<Library>> {
    let mut found = Vec::new();
    libraries.of(pid, |library| found.push(library))?;
    Ok(found)
}

#[test]
fn a_library_is_found_and_looked_at_once() {
    let Some((copy, sleeper)) = preloaded("once") else { return };
    let mut libraries = Libraries::default();
    let found = all(&mut libraries, sleeper.0.id()).unwrap();
    fs::remove_file(&copy).unwrap();
    let of_copy = |found: &[Library]| found.iter().position(|one| one.path.starts_with(copy.to_str().unwrap()));
    let library = &found[of_copy(&found).unwrap()];
    assert!(library.look.site.is_ok() && library.file.is_some(), "{library:?}");
    // Its libcrypto and the C library have nothing.
    assert!(!found.iter().any(|one| one.path.contains("libc")), "{found:?}");

    let looks = libraries.order.len();
    let again = all(&mut libraries, sleeper.0.id()).unwrap();
    assert_eq!(libraries.order.len(), looks);
    // The kernel's link leads to the removed file; only the privileged may follow it.
    let removed = &again[of_copy(&again).unwrap()];
    assert!(removed.path.ends_with(" (deleted)"));
    match rustix::process::geteuid().is_root() {
        true => assert_eq!(removed.look, library.look),
        false => assert!(matches!(removed.look.site, Err(Refusal::Unreadable(_))), "{removed:?}"),
    }
}

#[test]
fn a_file_changed_in_place_is_looked_at_again() {
    let Some((copy, sleeper)) = preloaded("changed") else { return };
    let mut libraries = Libraries::default();
    all(&mut libraries, sleeper.0.id()).unwrap();
    let looks = libraries.order.len();
    let bytes = fs::OpenOptions::new().append(true).open(&copy).unwrap();
    bytes.set_len(bytes.metadata().unwrap().len() + 1).unwrap();
    all(&mut libraries, sleeper.0.id()).unwrap();
    fs::remove_file(&copy).unwrap();
    assert_eq!(libraries.order.len(), looks + 1);
}

#[test]
fn what_is_larger_than_the_bound_is_refused_unread() {
    let (code, data) = lab::elf::calls(&[0x53, 0xc3], &["CLIENT_RANDOM"], &[]);
    let mut bytes = lab::elf::file(lab::elf::ANYWHERE, lab::elf::X86_64, &code, &data);
    // The length of the first segment.
    bytes[64 + 32..64 + 40].copy_from_slice(&(LARGEST + 1).to_le_bytes());
    let path = env::temp_dir().join(format!("tracer-libraries-{}-large", process::id()));
    fs::write(&path, &bytes).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    // Only said to be large: all of it is read.
    assert_eq!(read(&file, bytes.len() as u64).unwrap().unwrap(), bytes);
    file.set_len(LARGEST * 2).unwrap();
    std::io::Seek::rewind(&mut &file).unwrap();
    assert_eq!(read(&file, LARGEST * 2).unwrap(), None);
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    assert!(all(&mut Libraries::default(), u32::MAX).is_err());
}
