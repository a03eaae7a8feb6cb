use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::counts::Snapshot;
use crate::sinks::http::{Web, serve};
use crate::sinks::metrics::Metrics;

/// "secret", at the lowest cost that there is: tests hash it often.
fn hash() -> String {
    bcrypt::hash("secret", 4).unwrap()
}

/// A folder of its own with certificates in it, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tracer-access-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Replaces a file as a renewal does: a new one is renamed over it.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.0.join("new"), self.0.join(name));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// The web config file.
    fn web(&self, text: &str) -> PathBuf {
        self.write("web.yml", text)
    }

    /// `site.pem` and `site.key`, signed by `ca`.
    fn site(&self, ca: &Authority) {
        let (cert, key) = ca.sign();
        self.write("site.pem", &cert);
        self.write("site.key", &key);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    /// A client that trusts this authority alone.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], own: Option<(String, String)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let Some((cert, key)) = own else { return builder.with_no_client_auth() };
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
    }
}

struct Server {
    addr: SocketAddr,
    access: Arc<Access>,
}

impl Server {
    async fn start(web_config: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let web = Arc::new(Web::new(Metrics::new(Arc::new(Snapshot::default)).unwrap(), "attached: all"));
        let access = Arc::new(Access::load(Some(web_config)).unwrap());
        tokio::spawn(serve(listener, web, Arc::clone(&access), std::future::pending()));
        Self { addr, access }
    }

    /// The response over plain HTTP, to a request for the metrics with this header line.
    async fn plain(&self, header: &str) -> String {
        talk(TcpStream::connect(self.addr).await.unwrap(), header).await.unwrap()
    }

    async fn tls(&self, client: ClientConfig) -> std::io::Result<String> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        talk(TlsConnector::from(Arc::new(client)).connect(name, stream).await?, "").await
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, header: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{header}\r\n").as_bytes()).await?;
    let mut text = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await.unwrap()?;
    Ok(text)
}

fn basic(user: &str, password: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {text}\r\n")
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

const ANY: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const SITE: &str = "tls_server_config:\n  cert_file: site.pem\n  key_file: site.key\n";

#[test]
fn tls_is_spoken_with_the_certificate_of_the_file() {
    let (folder, ca) = (Folder::new(), Authority::new());
    folder.site(&ca);
    in_runtime(async {
        let server = Server::start(&folder.web(SITE)).await;
        for version in [&TLS12, &TLS13] {
            let text = server.tls(ca.client(&[version], None)).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("tracer_failures_total{"), "{text}");
        }
        assert!(server.tls(Authority::new().client(ANY, None)).await.is_err(), "another authority's client");
        assert_eq!((server.access.scheme(), server.access.exposure()), ("https", None));
    });
}

#[test]
fn lowest_version_is_held() {
    let (folder, ca) = (Folder::new(), Authority::new());
    folder.site(&ca);
    in_runtime(async {
        let server = Server::start(&folder.web(&format!("{SITE}  min_version: TLS13\n"))).await;
        assert!(server.tls(ca.client(&[&TLS12], None)).await.is_err());
        assert!(server.tls(ca.client(&[&TLS13], None)).await.is_ok());
    });
}

#[test]
fn clients_certificates_are_verified_as_told() {
    let (folder, ca, clients) = (Folder::new(), Authority::new(), Authority::new());
    folder.site(&ca);
    folder.write("clients.pem", &clients.pem);
    for (kind, nobody_is_served) in [("RequireAndVerifyClientCert", false), ("VerifyClientCertIfGiven", true)] {
        in_runtime(async {
            let text = format!("{SITE}  client_ca_file: clients.pem\n  client_auth_type: {kind}\n");
            let server = Server::start(&folder.web(&text)).await;
            assert_eq!(server.tls(ca.client(ANY, None)).await.is_ok(), nobody_is_served, "{kind}");
            assert!(server.tls(ca.client(ANY, Some(clients.sign()))).await.is_ok(), "{kind}");
            assert!(server.tls(ca.client(ANY, Some(ca.sign()))).await.is_err(), "{kind}: a stranger's certificate");
            assert_eq!(server.access.reload(Some(&folder.web(SITE))).is_ok(), nobody_is_served, "{kind}");
        });
    }
}

#[test]
fn renewed_certificate_is_used_and_a_broken_one_is_not() {
    let (folder, ca, renewed) = (Folder::new(), Authority::new(), Authority::new());
    folder.site(&ca);
    in_runtime(async {
        let server = Server::start(&folder.web(SITE)).await;
        folder.write("site.pem", "not a certificate");
        server.access.forget_look();
        assert!(server.tls(ca.client(ANY, None)).await.is_ok(), "the old one stays");
        folder.site(&renewed);
        server.access.forget_look();
        assert!(server.tls(renewed.client(ANY, None)).await.is_ok());
        assert!(server.tls(ca.client(ANY, None)).await.is_err());
        folder.web("basic_auth_users: [");
        server.access.forget_look();
        assert!(server.tls(renewed.client(ANY, None)).await.is_ok(), "a broken file changes nothing");
        fs::remove_file(folder.0.join("web.yml")).unwrap();
        server.access.forget_look();
        assert!(server.tls(renewed.client(ANY, None)).await.is_ok(), "nor does a missing one");
    });
}

#[test]
fn reload_takes_another_file_and_keeps_the_old_one_on_an_error() {
    let (folder, ca) = (Folder::new(), Authority::new());
    folder.site(&ca);
    in_runtime(async {
        let server = Server::start(&folder.web(SITE)).await;
        assert!(server.access.reload(Some(&folder.0.join("none.yml"))).is_err());
        assert!(server.tls(ca.client(ANY, None)).await.is_ok());
        let other = folder.write("other.yml", &format!("{SITE}basic_auth_users:\n  a: {}\n", hash()));
        server.access.reload(Some(&other)).unwrap();
        assert!(server.tls(ca.client(ANY, None)).await.unwrap().starts_with("HTTP/1.1 401"));
    });
}

#[test]
fn what_was_closed_is_not_opened_while_running() {
    let (folder, ca) = (Folder::new(), Authority::new());
    folder.site(&ca);
    let (closed, users) =
        (format!("{SITE}basic_auth_users:\n  a: {}\n", hash()), format!("basic_auth_users:\n  a: {}\n", hash()));
    in_runtime(async {
        let server = Server::start(&folder.web(&closed)).await;
        for (text, lost) in [("", "TLS"), (users.as_str(), "TLS"), (SITE, "passwords"), ("# nothing\n", "TLS")] {
            let path = folder.web(text);
            server.access.forget_look();
            assert!(server.tls(ca.client(ANY, None)).await.unwrap().starts_with("HTTP/1.1 401"), "{text}");
            let error = server.access.reload(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(&format!("would end the use of {lost}")), "{text}: {error}");
        }
        assert!(server.access.reload(None).is_err());
    });
}

#[test]
fn users_are_admitted_by_their_password_alone() {
    let folder = Folder::new();
    let text = format!("basic_auth_users:\n  prometheus: {}\n  Zoë: {}\n", hash(), hash());
    in_runtime(async {
        let server = Server::start(&folder.web(&text)).await;
        for _ in 0..2 {
            assert!(server.plain(&basic("prometheus", "secret")).await.starts_with("HTTP/1.1 200"));
        }
        assert!(server.plain(&basic("Zoë", "secret")).await.starts_with("HTTP/1.1 200"));
        for header in [
            String::new(),
            basic("prometheus", "Secret"),
            basic("prometheus", ""),
            basic("prometheus", &"s".repeat(5_000)),
            basic("nobody", "secret"),
            basic("", ""),
            "Authorization: Bearer secret\r\n".to_owned(),
            "Authorization: Basic %%%\r\n".to_owned(),
            "Authorization: Basic\r\n".to_owned(),
        ] {
            let text = server.plain(&header).await;
            assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{header}: {text}");
            assert!(text.to_lowercase().contains("www-authenticate: basic realm=\"tracer\"\r\n"), "{text}");
            assert!(!text.contains("tracer_failures"), "{text}");
        }
        assert!(server.access.exposure().unwrap().contains("in the clear"));
    });
}

#[test]
fn verified_password_is_not_hashed_again() {
    let folder = Folder::new();
    let dear = bcrypt::hash("secret", 12).unwrap();
    in_runtime(async {
        let server = Server::start(&folder.web(&format!("basic_auth_users: {{a: {dear}}}"))).await;
        let first = Instant::now();
        server.plain(&basic("a", "secret")).await;
        let (first, again) = (first.elapsed(), Instant::now());
        for _ in 0..5 {
            assert!(server.plain(&basic("a", "secret")).await.starts_with("HTTP/1.1 200"));
        }
        assert!(again.elapsed() < first, "five took {:?}, the first {first:?}", again.elapsed());
    });
}

#[test]
fn unknown_user_takes_as_long_as_a_known_one() {
    let dear = bcrypt::hash("secret", 9).unwrap();
    let folder = Folder::new();
    let access = Access::load(Some(&folder.web(&format!("basic_auth_users: {{a: {dear}}}")))).unwrap();
    let users = access.lock().policy.users.clone().unwrap();
    in_runtime(async {
        let took = async |name: &str| {
            let field = basic(name, "wrong").trim().strip_prefix("Authorization: ").unwrap().parse().unwrap();
            // The pause after a wrong password is over first.
            drop(users.turn().acquire().await.unwrap());
            let start = Instant::now();
            assert!(!users.admit(Some(&field)).await);
            start.elapsed().as_secs_f64()
        };
        // Without a hash to compare with it would be a thousandth.
        let (mut known, mut unknown) = (f64::MAX, f64::MAX);
        for _ in 0..4 {
            known = known.min(took("a").await);
            unknown = unknown.min(took("b").await);
        }
        assert!(unknown > known / 4.0 && known > unknown / 4.0, "known {known} s, unknown {unknown} s");
    });
}

#[test]
fn header_fields_of_the_file_replace_those_of_the_house() {
    let folder = Folder::new();
    let text = "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    \
                content-security-policy: default-src 'self'\n";
    in_runtime(async {
        let text = Server::start(&folder.web(text)).await.plain("").await.to_lowercase();
        assert!(text.contains("x-frame-options: deny\r\n"), "{text}");
        assert_eq!(text.matches("content-security-policy").count(), 1);
        assert!(text.contains("content-security-policy: default-src 'self'\r\n"), "{text}");
    });
}

#[test]
fn empty_files_and_sections_are_plain_http() {
    let folder = Folder::new();
    for text in ["", "# nothing\n", "tls_server_config: {}\n", "basic_auth_users:\n", "http_server_config:\n"] {
        let access = Access::load(Some(&folder.web(text))).map_err(|error| format!("{text:?}: {error}")).unwrap();
        assert!(access.exposure().unwrap().contains("everyone who reaches it"), "{text}");
    }
    assert_eq!(Access::load(None).unwrap().scheme(), "http");
}

#[test]
fn what_cannot_be_used_is_named_with_file_line_and_key() {
    let (folder, ca) = (Folder::new(), Authority::new());
    folder.site(&ca);
    folder.write("other.key", &ca.sign().1);
    folder.write("empty.pem", "");
    let tls = |lines: &str| format!("# site\ntls_server_config:\n{lines}");
    for (text, parts) in [
        ("tls_config: {}".to_owned(), &["web.yml:1: ", "unknown field `tls_config`"][..]),
        (tls("  cert: x\n"), &["web.yml:3: ", "unknown field `cert`", "cert_file"]),
        ("a: b: c\n".to_owned(), &["web.yml:1: "]),
        ("basic_auth_users:\n  a: x\n  a: y\n".to_owned(), &["web.yml:3: ", "duplicate"]),
        (tls("  cert_file: site.pem\n"), &["web.yml:3: cert_file: needs a key_file"]),
        (tls("  key_file: site.key\n"), &["web.yml:3: key_file: needs a cert_file"]),
        (tls("  min_version: TLS13\n"), &["web.yml:3: min_version: needs cert_file and key_file"]),
        (tls("  cert_file: no.pem\n  key_file: site.key\n"), &["web.yml:3: cert_file: ", "no.pem: No such file"]),
        (tls("  cert_file: empty.pem\n  key_file: site.key\n"), &["web.yml:3: cert_file: ", "holds no certificate"]),
        (tls("  cert_file: site.pem\n  key_file: site.pem\n"), &["web.yml:4: key_file: ", "holds no private key"]),
        (tls("  cert_file: site.pem\n  key_file: other.key\n"), &["web.yml:4: key_file: ", "can't serve site.pem"]),
        (format!("{SITE}  min_version: TLS11\n"), &["web.yml:4: min_version: \"TLS11\" is not spoken here"]),
        (format!("{SITE}  min_version: TLS13\n  max_version: TLS12\n"), &["web.yml:5: max_version: is below"]),
        (
            format!("{SITE}  client_auth_type: RequireAnyClientCert\n"),
            &["web.yml:4: client_auth_type: ", "not offered"],
        ),
        (format!("{SITE}  client_auth_type: VerifyClientCertIfGiven\n"), &["client_auth_type: needs a client_ca_file"]),
        (format!("{SITE}  client_ca_file: site.pem\n"), &["web.yml:4: client_ca_file: has no effect"]),
        ("basic_auth_users:\n  a: secret\n".to_owned(), &["web.yml:2: basic_auth_users: a: not a bcrypt hash"]),
        (format!("basic_auth_users:\n  a:b: {}\n", hash()), &["web.yml:2: ", "colon"]),
        (format!("basic_auth_users:\n  a: {}\n", hash().replace("$04$", "$31$")), &["a hash of cost 31"]),
        ("http_server_config:\n  headers:\n    Server: x\n".to_owned(), &["web.yml:3: headers: Server: can't be set"]),
    ] {
        let error = Access::load(Some(&folder.web(&text))).map(|_| ()).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{text}\n{part:?} is not in {error:?}");
        }
        assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    }
    let error = Access::load(Some(&folder.0.join("none.yml"))).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("web config file /") && error.ends_with("No such file or directory (os error 2)"),
        "{error}"
    );
}
