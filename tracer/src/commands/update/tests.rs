use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::tls::Certificate;

use super::*;
use crate::config::Reload;

const V4: &str = "173.245.48.0/20\n104.16.0.0/13\n172.64.0.0/13\n162.158.0.0/15\n";
const PATIENCE: Duration = Duration::from_secs(5);
/// For answers that come at once, however busy the machine is: what they are is asked, not when they come.
const ANSWERED: Duration = Duration::from_secs(30);
const V6: &str = "2400:cb00::/32\n2606:4700::/32\n";

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tracer-update-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server that answers well and badly, by path.
struct Server {
    addr: SocketAddr,
    certificate: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = StreamOwned::new(connection, stream.unwrap());
                thread::spawn(move || serve(stream));
            }
        });
        Self { addr, certificate: cert.der().to_vec() }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.addr)
    }

    fn fetcher(&self, timeout: Duration) -> Fetcher {
        Fetcher::with(vec![Certificate::from_der(&self.certificate).to_owned()], timeout, None)
    }

    /// Updates `output` from these paths.
    fn update(&self, paths: &[&str], output: Option<&Path>) -> Result<String, String> {
        let origin = Origin::Urls(paths.iter().map(|path| self.url(path)).collect());
        update(config(origin, output), Some(&self.fetcher(ANSWERED)))
    }
}

/// Answers one request; the other side may leave at any time.
fn serve(mut stream: Tls) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let _left = answer(&mut stream, head.split([' ', '/']).nth(2).unwrap());
}

fn answer(stream: &mut Tls, path: &str) -> io::Result<()> {
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let text = match path {
        "ips-v4" => whole(V4),
        "ips-v6" => whole(V6),
        "json" => whole(
            "{\"success\":true,\"result\":{\"ipv4_cidrs\":[\"104.16.0.0/13\"],\"ipv6_cidrs\":[\"2606:4700::/32\"]}}",
        ),
        "moved" | "idle" => "HTTP/1.1 301 Moved\r\nLocation: /ips-v4\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "plain" => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "circle" => "HTTP/1.1 302 Found\r\nLocation: /circle\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "truncated" => format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{V4}"),
        "abrupt" => format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{V4}"),
        "cut" => whole("173.245.48.0/20\n104.16.0.0/1"),
        "half" => whole("173.245.48.0/20\n"),
        "html" => whole("<!DOCTYPE html><html><title>Just a moment...</title></html>"),
        "empty" => whole(""),
        "gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "private" => whole("10.0.0.0/8\n"),
        "binary" => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe"),
        "huge" => {
            stream.write_all(endless.as_bytes())?;
            loop {
                stream.write_all(V4.repeat(100).as_bytes())?;
            }
        }
        "slow" => {
            stream.write_all(endless.as_bytes())?;
            loop {
                thread::sleep(Duration::from_millis(50));
                stream.write_all(b"#")?;
                stream.flush()?;
            }
        }
        "silent" => {
            thread::sleep(Duration::from_secs(60));
            return Ok(());
        }
        other => panic!("no answer for {other}"),
    };
    stream.write_all(text.as_bytes())?;
    match path {
        "abrupt" => {}
        // Left open, and closed as soon as another request comes.
        "idle" => {
            stream.flush()?;
            return stream.read(&mut [0]).map(drop);
        }
        _ => stream.conn.send_close_notify(),
    }
    stream.flush()
}

fn config(origin: Origin, output: Option<&Path>) -> UpdateConfig {
    UpdateConfig { origin, output: output.map(Path::to_owned), ca_file: None, timeout: ANSWERED, reload: None }
}

fn update(config: UpdateConfig, fetcher: Option<&Fetcher>) -> Result<String, String> {
    let mut out = Vec::new();
    run(&config, fetcher, &mut out).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn published_lists_become_the_range_file() {
    let (server, folder) = (Server::start(), Folder::new());
    let output = folder.0.join("ips.txt");
    let told = server.update(&["ips-v4", "ips-v6"], Some(&output)).unwrap();
    assert_eq!(told, format!("{}: 4 IPv4, 2 IPv6 ranges\n", output.display()));
    let text = fs::read_to_string(&output).unwrap();
    assert!(
        text.starts_with(&format!("# {} and {}, fetched 20", server.url("ips-v4"), server.url("ips-v6"))),
        "{text}"
    );
    let ranges = EdgeRanges::parse(&text, "ips.txt").unwrap();
    assert!(ranges.iter().eq(EdgeRanges::parse(&format!("{V4}{V6}"), "x").unwrap().iter()));
    assert_eq!(fs::metadata(&output).unwrap().mode() & 0o777, 0o644);
    let told = server.update(&["moved", "json"], Some(&output)).unwrap();
    assert!(told.ends_with("4 IPv4, 1 IPv6 ranges; 0 new, 1 gone\n"), "{told}");
    assert_eq!(folder.names(), ["ips.txt"], "nothing is left beside it");
}

#[test]
fn servers_that_close_as_the_next_request_comes_lose_none() {
    let text = Server::start().update(&["idle", "idle"], None).unwrap();
    assert!(text.ends_with("\n173.245.48.0/20\n"), "{text}");
}

#[test]
fn without_an_output_the_list_is_data_on_standard_output() {
    let text = Server::start().update(&["json"], None).unwrap();
    assert!(text.starts_with("# https://127.0.0.1:") && text.ends_with("\n104.16.0.0/13\n2606:4700::/32\n"), "{text}");
}

#[test]
fn answers_that_are_not_the_list_change_nothing() {
    let (server, folder) = (Server::start(), Folder::new());
    let old = format!("# old\n{V4}{V6}");
    let output = folder.file("ips.txt", &old);
    for (path, why) in [
        ("truncated", ""),
        ("abrupt", "may be cut off"),
        ("cut", "0.0.0.0/1 is wider than /8"),
        ("half", "are not in the new list: half an answer?"),
        ("html", "is an HTML page, not a list"),
        ("empty", "holds no range"),
        ("gone", "the server answered with status 404"),
        ("private", "10.0.0.0/8 is not public"),
        ("binary", "the answer is not text"),
        ("huge", "the answer is longer than 256 KiB"),
        ("plain", "https"),
        ("circle", "redirect"),
    ] {
        let error = server.update(&[path], Some(&output)).unwrap_err();
        assert!(error.contains(why), "{path}: {error}");
        assert!(error.contains(&server.url(path)) || path == "half", "{path}: {error}");
        assert!(server.update(&["ips-v4", path], Some(&output)).is_err() || path == "half", "{path} as the second");
        fs::write(&output, &old).unwrap();
    }
    assert_eq!(folder.names(), ["ips.txt"]);
}

#[test]
fn slow_answers_end_in_time() {
    let server = Server::start();
    for path in ["slow", "silent"] {
        let start = Instant::now();
        let error = server.fetcher(Duration::from_millis(300)).get(&server.url(path)).unwrap_err();
        assert!(format!("{error:#}").contains("it took too long"), "{path}: {error:#}");
        assert!(start.elapsed() < Duration::from_secs(30), "{path} took {:?}", start.elapsed());
    }
}

#[test]
fn servers_that_no_trusted_authority_vouches_for_are_refused() {
    let (server, other) = (Server::start(), Server::start());
    let error = format!("{:#}", other.fetcher(ANSWERED).get(&server.url("ips-v4")).unwrap_err());
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(server.fetcher(ANSWERED).get("http://127.0.0.1:9/").is_err());
}

#[test]
fn authorities_come_from_a_file_that_holds_some() {
    let (server, folder) = (Server::start(), Folder::new());
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &server.certificate)
    );
    assert!(Fetcher::new(Some(&folder.file("ca.pem", &pem)), ANSWERED).is_ok());
    let refused = |path: &Path| format!("{:#}", Fetcher::new(Some(path), ANSWERED).map(|_| ()).unwrap_err());
    assert!(refused(&folder.file("empty.pem", "")).contains("empty.pem holds no certificate"));
    assert!(refused(&folder.0.join("none.pem")).contains("none.pem: No such file"));
}

#[test]
fn list_from_a_file_needs_no_network() {
    let folder = Folder::new();
    let (source, output) = (folder.file("downloaded", &format!("{V4}{V6}")), folder.0.join("ips.txt"));
    update(config(Origin::File(source.clone()), Some(&output)), None).unwrap();
    assert_eq!(EdgeRanges::parse(&fs::read_to_string(&output).unwrap(), "x").unwrap().len(), 6);
    fs::write(&source, "<html>").unwrap();
    let error = update(config(Origin::File(source), Some(&output)), None).unwrap_err();
    assert!(error.contains("downloaded is an HTML page"), "{error}");
}

#[test]
fn mode_and_link_of_the_range_file_stay() {
    let folder = Folder::new();
    let source = folder.file("downloaded", V4);
    let (real, link) = (folder.file("real.txt", "# none\n"), folder.0.join("link.txt"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.txt", &link).unwrap();
    let before = fs::metadata(&real).unwrap();
    update(config(Origin::File(source), Some(&link)), None).unwrap();
    let after = fs::metadata(&real).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(after.mode() & 0o777, 0o640);
    assert_ne!(after.ino(), before.ino(), "written in place: a reader could see half of it");
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
}

#[test]
fn output_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let source = folder.file("downloaded", V4);
    for output in [folder.0.join("none/ips.txt"), folder.0.clone()] {
        let error = update(config(Origin::File(source.clone()), Some(&output)), None).unwrap_err();
        assert!(error.starts_with(&format!("writing {}: ", output.display())), "{error}");
    }
    assert_eq!(folder.names(), ["downloaded"]);
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(program: &Path) -> Self {
        let running = Self(Command::new(program).arg("60").spawn().unwrap());
        // For a moment it bears the name of the thread that started it.
        let (own, deadline) = (fs::read_to_string("/proc/thread-self/comm").unwrap(), Instant::now() + PATIENCE);
        while fs::read_to_string(format!("/proc/{}/comm", running.pid())).unwrap() == own {
            assert!(Instant::now() < deadline, "it did not start");
            thread::sleep(Duration::from_millis(1));
        }
        running
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn only_a_running_tracer_is_told_to_reload() {
    use std::os::unix::process::ExitStatusExt as _;

    let folder = Folder::new();
    let (source, output) = (folder.file("downloaded", V4), folder.0.join("ips.txt"));
    let told = |reload: Reload| {
        let config = UpdateConfig { reload: Some(reload), ..config(Origin::File(source.clone()), Some(&output)) };
        update(config, None)
    };
    let mut stranger = Running::start(Path::new("sleep"));
    let error = told(Reload::Pid(stranger.pid())).unwrap_err();
    assert!(error.contains("is \"sleep\", not a running "), "{error}");
    assert!(stranger.0.try_wait().unwrap().is_none(), "it lives");
    assert!(!output.exists(), "nothing was written");
    assert!(told(Reload::Pid(std::process::id().try_into().unwrap())).is_err(), "not itself");
    assert!(told(Reload::PidFile(folder.file("bad.pid", "-1"))).unwrap_err().contains("holds no process id"));

    // The same name as this program: the kernel keeps its first 15 bytes.
    let own = std::env::current_exe().unwrap();
    let twin = folder.0.join(own.file_name().unwrap());
    fs::copy("/bin/sleep", &twin).unwrap();
    let mut twin = Running::start(&twin);
    let pid_file = folder.file("tracer.pid", &format!("{}\n", twin.pid()));
    let told = told(Reload::PidFile(pid_file)).unwrap();
    assert!(told.ends_with(&format!("; process {} told to reload\n", twin.pid())), "{told}");
    assert_eq!(twin.0.wait().unwrap().signal(), Some(1));
}
