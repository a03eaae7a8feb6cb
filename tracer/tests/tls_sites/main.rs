//! The finder of key-log functions on real libraries: on those of `libraries.toml`, which `cargo xtask libraries` gets,
//! and on what this machine has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use serde::Deserialize;
use tracer::probes::tls::site::{self, NotFound, Shape, Site};

/// Names the folder of the table's libraries.
const FOLDER: &str = "TRACER_LIBRARIES";
/// A look at the largest takes a tenth of a second in a build for release.
const LONGEST: Duration = Duration::from_secs(20);

/// What is known of libraries.
#[derive(Deserialize)]
struct Table {
    library: Vec<Known>,
    go: Vec<Go>,
}

/// One of them; without `site` it has none.
#[derive(Deserialize)]
struct Known {
    name: String,
    function: Option<u64>,
    site: Option<u64>,
    shape: Option<String>,
    emulated: Option<bool>,
    library: Option<String>,
    version: Option<String>,
    refused: Option<String>,
}

/// A version of Go, by which a server was built in three ways.
#[derive(Deserialize)]
struct Go {
    version: String,
}

fn table() -> Table {
    toml::from_str(include_str!("libraries.toml")).expect("a table of libraries")
}

/// The folder of libraries, if it was named.
fn folder() -> Option<PathBuf> {
    let folder = env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: {FOLDER} names no folder; `cargo xtask libraries` gets some 1 GB and names it");
    }
    folder
}

/// The site in a file, found in time.
fn look(path: &Path) -> Result<Site, NotFound> {
    let bytes = fs::read(path).expect("a file that can be read");
    let begin = Instant::now();
    let found = site::find(&bytes);
    let took = begin.elapsed();
    assert!(took < LONGEST, "{}: {took:?}", path.display());
    // No more of the file is read at run time.
    let mapped = site::extent(&bytes).and_then(|extent| usize::try_from(extent).ok()).expect("an ELF file");
    assert_eq!(site::find(&bytes[..mapped]), found, "{}", path.display());
    println!("{}: {:?} in {took:.0?}", path.display(), found.as_ref().map(|site| site.offset));
    found
}

/// Where a function is in a file, by its symbol.
fn symbol(path: &Path, name: &str) -> Option<u64> {
    let bytes = fs::read(path).expect("a file that can be read");
    let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*bytes).expect("an ELF file");
    let address = file.symbols().chain(file.dynamic_symbols()).find(|one| one.name() == Ok(name))?.address();
    file.segments().find_map(|segment| {
        let (offset, len) = segment.file_range();
        address.checked_sub(segment.address()).filter(|within| *within < len).map(|within| offset + within)
    })
}

#[test]
fn each_library_of_the_table_has_the_site_that_is_known() {
    let Some(folder) = folder() else { return };
    for known in table().library {
        let path = folder.join(&known.name);
        if !path.exists() {
            println!("skipped: no {}", path.display());
            continue;
        }
        let found = look(&path);
        match &found {
            Ok(site) => {
                let seen = (Some(site.function), Some(site.offset), Some(format!("{:?}", site.shape)));
                assert_eq!(seen, (known.function, known.site, known.shape), "{}", known.name);
                let seen = (Some(site.emulated), Some(format!("{:?}", site.library)), Some(site.version.clone()));
                assert_eq!(seen, (known.emulated, known.library, known.version), "{}", known.name);
                let by_symbol = symbol(&path, "ssl_log_secret");
                assert!(by_symbol.is_none_or(|function| function == site.function), "{}: {by_symbol:x?}", known.name);
            }
            Err(why) => assert_eq!(Some(format!("{why:?}")), known.refused, "{}", known.name),
        }
    }
}

#[test]
fn gos_function_is_the_one_that_the_symbol_names_and_stripping_changes_nothing() {
    let Some(folder) = folder() else { return };
    for go in table().go {
        let at = |way: &str| folder.join(format!("go-{}-{way}", go.version));
        if !at("plain").exists() {
            println!("skipped: no {}", at("plain").display());
            continue;
        }
        let site = |way: &str| look(&at(way)).unwrap();
        let plain = site("plain");
        assert_eq!(Some(plain.function), symbol(&at("plain"), "crypto/tls.(*Config).writeKeyLog"));
        assert_eq!((plain.shape, plain.emulated), (Shape::GoKeyLog, true));
        assert_eq!(plain.version, format!("go{}", go.version));
        let stripped = site("stripped");
        assert_eq!((stripped.function, stripped.offset), (plain.function, plain.offset));
        let pie = site("pie");
        assert_eq!((pie.offset - pie.function, pie.shape), (plain.offset - plain.function, plain.shape));
    }
}

/// Where functions are in a file whose symbols' names end so.
fn functions(path: &Path, ends: &[&str]) -> Vec<u64> {
    let bytes = fs::read(path).expect("a file that can be read");
    let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*bytes).expect("an ELF file");
    let names = file.symbols().filter_map(|one| one.name().ok());
    let names: BTreeSet<String> =
        names.filter(|name| ends.iter().any(|end| name.ends_with(end))).map(str::to_owned).collect();
    let mut found: Vec<u64> = names.iter().filter_map(|name| symbol(path, name)).collect();
    found.sort_unstable();
    found
}

/// The agent has rustls and ring in it.
#[test]
fn the_key_schedules_of_ring_are_those_that_the_symbols_name() {
    if !cfg!(target_arch = "x86_64") {
        return println!("skipped: of another machine than x86-64");
    }
    let agent = Path::new(env!("CARGO_BIN_EXE_tracer"));
    let site = look(agent).expect("a site");
    assert_eq!((site.shape, site.emulated, site.more.len()), (Shape::AesKey, true, 1), "{site:?}");
    let named = functions(agent, &["aes_hw_set_encrypt_key_base", "aes_hw_set_encrypt_key_alt"]);
    assert_eq!((named.len(), named[0]), (2, site.function), "{named:x?}");
    let behind: Vec<u64> = named.iter().zip([site.offset, site.more[0]]).map(|(start, place)| place - start).collect();
    assert_eq!(behind, [20, 20]);
}

/// Where distributions keep what holds a TLS library.
const PLACES: [&str; 12] = [
    "/usr/lib/x86_64-linux-gnu/libssl.so.3",
    "/usr/lib/x86_64-linux-gnu/libssl.so.1.1",
    "/usr/lib/x86_64-linux-gnu/libgnutls.so.30",
    "/usr/lib/aarch64-linux-gnu/libssl.so.3",
    "/usr/lib64/libssl.so.3",
    "/usr/lib64/libssl.so.1.1",
    "/usr/bin/node",
    "/usr/bin/caddy",
    "/usr/bin/traefik",
    "/usr/bin/envoy",
    "/usr/bin/dockerd",
    "/usr/bin/prometheus",
];

#[test]
fn what_this_machine_has_is_found_or_refused_for_its_architecture() {
    let mut sites = BTreeMap::new();
    for path in PLACES.map(Path::new).into_iter().filter(|path| path.exists()) {
        match look(path) {
            Ok(site) => {
                for name in ["ssl_log_secret", "crypto/tls.(*Config).writeKeyLog"] {
                    let by_symbol = symbol(path, name);
                    assert!(by_symbol.is_none_or(|function| function == site.function), "{}: {site:?}", path.display());
                }
                sites.insert(path, site);
            }
            // A node that links OpenSSL dynamically holds none itself.
            Err(NotFound::Architecture(_) | NotFound::NoLibrary) => {}
            Err(why) => panic!("{}: {why}", path.display()),
        }
    }
    if sites.is_empty() {
        println!("skipped: none of {PLACES:?} is here");
    }
}
