//! What fuzzing starts from: the recordings, connections and configurations of tracer's tests, and a few heads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lab::elf;

use crate::sh;

const REQUESTS: [&[u8]; 4] = [
    b"GET /a?q=1 HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.1\r\n\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\nGET http://h/p HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
];
const RESPONSES: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\nno",
    b"HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\nX y: z\r\n",
];
const RANGES: [&[u8]; 2] = [
    b"# edge\r\n173.245.48.0/20\r\n2400:cb00::/32 # six\r\n192.0.2.7\n",
    b"\xef\xbb\xbf::ffff:192.0.2.0/120\n10.1.2.3/8\n2001:db8::7\n",
];
/// Columns and rows.
const WINDOWS: [[u8; 2]; 3] = [[80, 24], [60, 16], [20, 3]];
/// Records, a note, a listener and keys for the live view, each on a line behind its kind.
const VIEW: &[u8] =
    b"\x04/caf\xc3\xa9\n\x08\x1b[2J\xe2\x80\xae\n\x05reloaded\n\x06nginx\n\x07/PORT:80\x0b\n\x07?G /Q\n\x04/end\n";
/// Bytes before a recording's first record.
const MAGIC_LEN: usize = 8;

/// Writes a target's seeds to its corpus, beside what earlier runs found.
pub(super) fn write(target: &str, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    for (number, seed) in of(target)?.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

/// A target's seeds.
pub(super) fn of(target: &str) -> Result<Vec<Vec<u8>>> {
    Ok(match target {
        "events" => events()?,
        "certificate" => fixtures("tls", ".der")?.iter().map(|path| read(path)).collect::<Result<_>>()?,
        "framing" => RESPONSES.iter().flat_map(|one| [1, 20, usize::MAX].map(|len| split(one, len))).collect(),
        "http2" => streams()?,
        "http_exchange" => REQUESTS.iter().flat_map(|one| RESPONSES.map(|other| sides(one, other))).collect(),
        "http_request" => REQUESTS.map(Vec::from).into(),
        "ranges" => RANGES.map(Vec::from).into(),
        "record" => recordings()?.iter().flat_map(|recording| records(recording)).collect(),
        "recording" => recordings()?,
        "server_config" => configurations()?,
        "tls_handshake" => handshakes()?,
        "tls_keylog" => key_logs()?,
        "tls_keys" => sealed()?,
        "tls_site" => libraries(),
        "view" => WINDOWS.iter().map(|size| [&size[..], VIEW].concat()).collect(),
        _ => Vec::new(),
    })
}

/// One input for two sides of a connection, as `sides` in `tracer/fuzz/targets` takes it apart.
fn sides(one: &[u8], other: &[u8]) -> Vec<u8> {
    let len = u16::try_from(one.len()).unwrap_or(u16::MAX);
    [&len.to_le_bytes(), one, other].concat()
}

/// The same for one side, which sends so many bytes in its first packet.
fn split(bytes: &[u8], len: usize) -> Vec<u8> {
    let (first, rest) = bytes.split_at(len.min(bytes.len()));
    sides(first, rest)
}

/// Events files, an error page, an entry of the journal, a daemon's answer.
fn events() -> Result<Vec<Vec<u8>>> {
    const ENTRY: &[u8] = b"{\"MESSAGE\":\"x\",\"TRACER_SCHEMA\":\"1\",\"TRACER_TIME\":\"2026-11-20T10:00:00Z\",\
        \"TRACER_CAUSE\":\"crash\",\"TRACER_EVIDENCE\":[\"a\",\"b\"],\"TRACER_REUSED\":\"true\",\"TRACER_PATH\":\"/?q\"}\n";
    const ANSWER: &[u8] = b"{\"begins\":\"2026-11-20T10:00:00Z\",\"lost\":{\"ring\":1},\"records\":[\
        {\"schema\":2,\"time\":\"2026-11-20T10:00:00Z\",\"cause\":\"new\",\"path\":\"/a?b\"},7]}";
    let files = [fixtures("past", ".ndjson")?, fixtures("past", ".ndjson.1")?, fixtures("past", ".html")?].concat();
    let read = files.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    Ok([read, vec![ENTRY.to_vec(), ANSWER.to_vec()]].concat())
}

fn recordings() -> Result<Vec<Vec<u8>>> {
    fixtures("replay", ".rec")?.iter().map(|path| read(path)).collect()
}

/// The records of a recording, each behind its length there.
fn records(recording: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = recording.get(MAGIC_LEN..).unwrap_or_default();
    let mut records = Vec::new();
    while let Some((len, behind)) = rest.split_first_chunk() {
        let Some((record, behind)) = behind.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

fn handshakes() -> Result<Vec<Vec<u8>>> {
    let both = |edge: &PathBuf| {
        let origin = edge.to_string_lossy().replace(".edge.bin", ".origin.bin");
        Ok(sides(&read(edge)?, &read(Path::new(&origin))?))
    };
    fixtures("tls", ".edge.bin")?.iter().map(both).collect()
}

/// Both sides of connections of HTTP/2; those of one conversation share the origin's side.
fn streams() -> Result<Vec<Vec<u8>>> {
    let both = |edge: &PathBuf| {
        let own = edge.to_string_lossy().replace(".edge.bin", ".origin.bin");
        let own = Path::new(&own);
        let shared = edge.with_file_name("styles.origin.bin");
        Ok(sides(&read(edge)?, &read(if own.exists() { own } else { &shared })?))
    };
    fixtures("../testdata/h2", ".edge.bin")?.iter().map(both).collect()
}

/// Small files as OpenSSL's and Go's: a `push` in the function, moves and a jump, Go's look at its stack.
fn libraries() -> Vec<Vec<u8>> {
    const MOVES: &[u8] =
        b"\x48\x89\xf8\x49\x89\xd0\x48\x89\xf7\x49\x89\xc9\x48\x8d\x90\x60\x01\0\0\xb9\x20\0\0\0\x48\x89\xc6\
        \xe9\0\0\0\0";
    const GO: &[u8] = b"\x49\x3b\x66\x10\x76\0\xc3";
    let labels = ["CLIENT_RANDOM", "EARLY_EXPORTER_SECRET"];
    let of_c = [b"\x53\xc3", MOVES].map(|body| {
        let (code, data) = elf::calls(body, &labels, &[]);
        elf::file(elf::ANYWHERE, elf::X86_64, &code, &data)
    });
    let of_go = [elf::CODE, 0].map(|text| {
        let table = elf::go_table(&[("main.main", 0), ("crypto/tls.(*Config).writeKeyLog", 0)], text);
        elf::file(elf::FIXED, elf::X86_64, GO, &table)
    });
    [of_c, of_go].concat()
}

/// The secrets of the same connections, as a server logs them.
fn key_logs() -> Result<Vec<Vec<u8>>> {
    let logs = fixtures("../testdata/tls-keys", ".txt")?.into_iter().map(|path| {
        let text = String::from_utf8(read(&path)?)?;
        let of = |name: &'static str| text.lines().filter_map(move |line| line.strip_prefix(name));
        let random = of("randoms ").next().and_then(|both| both.split(' ').next()).unwrap_or_default();
        let secrets = of("secret ").filter_map(|secret| secret.split_once(' '));
        let lines = secrets.map(|(label, secret)| format!("{label} {random} {secret}\n"));
        Ok(lines.collect::<String>().into_bytes())
    });
    logs.collect()
}

/// Both sides of the connections whose secrets are known, as `tls_keys` in `tracer/fuzz/targets` takes them.
fn sealed() -> Result<Vec<Vec<u8>>> {
    let paths = fixtures("../testdata/tls-keys", ".txt")?;
    let texts = paths.iter().map(|path| Ok(String::from_utf8(read(path)?)?)).collect::<Result<Vec<_>>>()?;
    texts.iter().flat_map(|text| [("edge", "CLIENT"), ("origin", "SERVER")].map(|of| one_side(text, of))).collect()
}

fn one_side(text: &str, (side, label): (&str, &str)) -> Result<Vec<u8>> {
    let values = |key: &str| {
        let key = format!("{key} ");
        text.lines().filter_map(move |line| line.strip_prefix(&*key)).collect::<Vec<_>>()
    };
    let secret = |name: &str| {
        let secrets = values(&format!("secret {name}"));
        let mut secret = hex(secrets.first().copied().unwrap_or_default())?;
        secret.resize(48, 0);
        Ok::<_, anyhow::Error>(secret)
    };
    let master = secret("CLIENT_RANDOM")?;
    let handshake = secret(&format!("{label}_HANDSHAKE_TRAFFIC_SECRET"))?;
    let first = if master.iter().any(|byte| *byte != 0) { master } else { handshake };
    let fields = [
        hex(&values("suite").concat())?,
        vec![u8::from(side == "origin")],
        first,
        secret(&format!("{label}_TRAFFIC_SECRET_0"))?,
        hex(&values("randoms").concat().replace(' ', ""))?,
        hex(&values(side).concat())?,
    ];
    Ok(fields.concat())
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let digits = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2).unwrap_or_default());
    digits.map(|pair| u8::from_str_radix(pair, 16).with_context(|| format!("{pair:?} is no byte"))).collect()
}

fn configurations() -> Result<Vec<Vec<u8>>> {
    let root = sh::repo().join("tracer/tests/doctor/root/etc");
    let files = [
        "nginx/nginx.conf",
        "nginx/sites-available/shop",
        "apache2/apache2.conf",
        "haproxy/haproxy.cfg",
        "caddy/Caddyfile",
    ];
    files.iter().map(|file| read(&root.join(file))).collect()
}

/// The files of a folder of tracer's tests whose names end so.
fn fixtures(folder: &str, end: &str) -> Result<Vec<PathBuf>> {
    let folder = sh::repo().join("tracer/tests").join(folder);
    let entries = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(end));
    paths.sort_unstable();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
