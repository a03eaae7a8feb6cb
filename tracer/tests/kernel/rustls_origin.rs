//! An origin whose TLS library is rustls on ring: this same executable, started again.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab::{Lab, Process};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The first argument that makes an executable this origin.
const COMMAND: &str = "rustls-origin";
/// The name of its process.
pub(crate) const NAME: &str = "rustls-origin";
const START: Duration = Duration::from_secs(5);

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Starts it with a certificate and its key, in PEM.
pub(crate) fn start(lab: &Lab, port: u16, certificate: &Path, key: &Path) -> Result<Process> {
    let paths = [certificate, key].map(|path| path.display().to_string());
    let args = [&[COMMAND.to_owned(), port.to_string()], &paths[..]].concat();
    let process = lab.origin_command(&std::env::current_exe()?, &args, None)?;
    lab.origin().wait_listening(&[port], START).with_context(|| format!("starting rustls: {}", process.log()))?;
    Ok(process)
}

/// Runs it if the command line asks for it.
pub(crate) fn main_if_asked() -> Option<Result<()>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [command, port, certificate, key] = &args[..] else { return None };
    (command == COMMAND).then(|| run(port, certificate, key))
}

fn run(port: &str, certificate: &str, key: &str) -> Result<()> {
    rustix::thread::set_name(&std::ffi::CString::new(NAME)?)?;
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port.parse()?))?;
    for connection in listener.incoming() {
        let connection = connection?;
        connection.set_nodelay(true)?;
        let mut tls = StreamOwned::new(ServerConnection::new(config.clone())?, connection);
        thread::spawn(move || {
            // A connection that breaks is the edge's business.
            let _ended = serve(&mut tls);
        });
    }
    Ok(())
}

fn serve(tls: &mut Tls) -> Result<()> {
    let mut head = Vec::new();
    loop {
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            receive(tls, &mut head)?;
        }
        if head.starts_with(b"PRI ") {
            return serve_http2(tls, head.split_off(24));
        }
        let request = String::from_utf8(std::mem::take(&mut head))?;
        if request.starts_with("GET /wait") {
            // Until the edge leaves.
            while receive(tls, &mut head).is_ok() {}
            if request.starts_with("GET /wait-politely") {
                tls.conn.send_close_notify();
                tls.flush()?;
            }
            return Ok(());
        }
        let page = |fields: &str, body: &[u8]| [format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat();
        let (answer, closes) = match request.split(' ').nth(1).unwrap_or_default() {
            "/ok" => (page("Content-Length: 2\r\n", b"ok"), false),
            "/long" => (page("Content-Length: 40000\r\n", &[b'x'; 40_000]), false),
            "/chunks" => (page("Transfer-Encoding: chunked\r\n", &chunks(9)), true),
            "/last" => (page("Content-Length: 2\r\nConnection: close\r\n", b"ok"), true),
            "/cut" => (page("Content-Length: 90000\r\n", &[b'x'; 40_000]), true),
            "/fields" => (page(&format!("X-Long: {}\r\nContent-Length: 2\r\n", "x".repeat(200_000)), b"ok"), true),
            _ => return Ok(()),
        };
        tls.write_all(&answer)?;
        tls.flush()?;
        if closes {
            tls.conn.send_close_notify();
            tls.flush()?;
            return Ok(());
        }
    }
}

/// A body of so many chunks, and the last one.
fn chunks(count: usize) -> Vec<u8> {
    [format!("1388\r\n{:05000}\r\n", 0).repeat(count).as_bytes(), b"0\r\n\r\n"].concat()
}

/// Answers each stream, but resets each second one: 3, 7, 11 and so on.
fn serve_http2(tls: &mut Tls, mut bytes: Vec<u8>) -> Result<()> {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    // Settings; without any.
    tls.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])?;
    tls.flush()?;
    loop {
        while let Some((&[_, high, low, kind, flags, a, b, c, d], rest)) = bytes.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low]));
            if rest.len() < len {
                break;
            }
            let stream = u32::from_be_bytes([a, b, c, d]);
            bytes.drain(..9 + len);
            let answer = match kind {
                SETTINGS if flags == 0 => vec![0, 0, 0, SETTINGS, 1, 0, 0, 0, 0],
                // RST_STREAM, INTERNAL_ERROR.
                HEADERS if stream % 4 == 3 => vec![0, 0, 4, 3, 0, a, b, c, d, 0, 0, 0, 2],
                // `:status: 204` of HPACK's static table, and the end.
                HEADERS => vec![0, 0, 1, HEADERS, 5, a, b, c, d, 0x89],
                _ => continue,
            };
            tls.write_all(&answer)?;
            tls.flush()?;
        }
        receive(tls, &mut bytes)?;
    }
}

fn receive(tls: &mut Tls, into: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 8192];
    match tls.read(&mut buffer)? {
        0 => bail!("the edge left"),
        count => into.extend_from_slice(&buffer[..count]),
    }
    Ok(())
}
