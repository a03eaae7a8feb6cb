//! HTTP/2 inside TLS, of which nobody reads a byte: only the outside of the edge's records tells a request from the
//! control frames that follow an answer. The edge is rustls with a few frames written by hand, the origin is nginx.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::origin::Spec;
use lab::{Conn, EDGE_A, EDGE_B, Lab, Nginx, NginxOptions, Process, Seen, procs};
use rustix::process::Signal;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConnection, Stream};

use super::tls::{Certificate, client, client_with};
use super::{LIMIT, worker};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![idle_http2_connections_survive_the_end_of_their_process]
}

const PORT: u16 = 443;
/// A plain origin behind nginx, which never answers.
pub(super) const BEHIND: u16 = 8080;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame (RFC 9113 §4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS, and its acknowledgement.
pub(super) fn settings(ack: u8) -> Vec<u8> {
    frame(4, ack, 0, &[])
}

/// WINDOW_UPDATE of the whole connection.
pub(super) fn window_update() -> Vec<u8> {
    frame(8, 0, 0, &1000_u32.to_be_bytes())
}

/// HEADERS of `GET / HTTP/2`, complete, with a name of the host that nobody has sent before.
fn get(stream: u32) -> Vec<u8> {
    let authority = b"www.example.com";
    // Static table: :method GET, :scheme https, :path /; then :authority as a literal.
    let block = [&[0x82, 0x87, 0x84, 0x01, authority.len() as u8], &authority[..]].concat();
    frame(1, 0x05, stream, &block)
}

/// One record for each piece.
pub(super) fn send(conn: &mut Conn, tls: &mut ClientConnection, pieces: &[Vec<u8>]) -> Result<()> {
    let mut stream = Stream::new(tls, conn.stream()?);
    for piece in pieces {
        stream.write_all(piece)?;
        stream.flush()?;
    }
    Ok(())
}

/// Asks once and takes the answer, whose body is `ok`.
fn answered(conn: &mut Conn, tls: &mut ClientConnection, stream: u32) -> Result<()> {
    send(conn, tls, &[get(stream)])?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(2).any(|two| two == b"ok") {
        let count = Stream::new(tls, conn.stream()?).read(&mut buffer)?;
        ensure!(count > 0, "nginx hung up");
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(())
}

/// The end of nginx' only worker, by a signal from outside.
pub(super) fn kill(nginx: &Process) -> Result<u32> {
    let pid = worker(nginx)?;
    procs::signal(pid, Signal::KILL);
    lab::wait::until_true("the end of nginx' worker", LIMIT, || !procs::alive(pid))?;
    Ok(pid)
}

/// When a worker is killed, a request in hand is lost. Nothing is lost on connections whose last bytes from the edge
/// were control frames, however many.
fn idle_http2_connections_survive_the_end_of_their_process() -> Result<()> {
    let lab = Lab::new()?;
    let _behind = lab.start_origin(&Spec::new(BEHIND), None)?;
    let certificate = Certificate::make(&lab)?;
    let site = certificate.site();
    let http = format!(
        "server {{ listen {PORT} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; {site}
           location /hang {{ proxy_pass http://127.0.0.1:{BEHIND}; }} }}"
    );
    let options = NginxOptions { http: &http, ports: &[PORT], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let agent = Agent::start(&[])?;
    let mut open = Vec::new();
    for version in [&TLS12, &TLS13] {
        for control in [0, 1, 4] {
            let mut conn = lab.connect(EDGE_A, PORT)?;
            let mut tls = client_with(version, certificate.trusted()?, &[b"h2"])?;
            send(&mut conn, &mut tls, &[[PREFACE, &settings(0)].concat()])?;
            for stream in [1, 3, 5] {
                answered(&mut conn, &mut tls, stream)?;
                send(&mut conn, &mut tls, &[settings(1)])?;
                send(&mut conn, &mut tls, &vec![window_update(); control])?;
            }
            open.push((conn, tls));
        }
    }
    let (mut held, mut tls) = (lab.connect(EDGE_B, PORT)?, client(&TLS13, certificate.trusted()?)?);
    for path in ["/", "/hang"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\nX-Padding: {:040}\r\n\r\n", 0);
        send(&mut held, &mut tls, &[request.into_bytes()])?;
        if path == "/" {
            ensure!(Stream::new(&mut tls, held.stream()?).read(&mut [0; 1024])? > 0, "nginx hung up");
        }
    }
    // nginx has read all of it by then.
    std::thread::sleep(Duration::from_millis(200));
    let pid = kill(&nginx)?;
    let want = Want::new(&held.exchange(Seen::Empty), "process_killed", 520, "fin_no_response");
    check(agent, &lab, &[want.process("nginx", pid).with("certainty", "likely")])
}
