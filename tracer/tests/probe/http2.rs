//! HTTP/2: servers that agree on it, and keep to it or not.

use std::{
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use hyper::http::{Request, Response};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    asking::{FINE, Told, WOULD_FAIL, ask, head},
    certificates::{Authority, Shown, Tls},
};

const BOTH: &[&str] = &["h2", "http/1.1"];
const HTTP2: &str = "HTTP/2";

/// Serves both versions, each request of HTTP/2 by `answer`.
fn served(shown: Shown, answer: fn(Request<RecvStream>, SendResponse<Bytes>)) -> u16 {
    let acceptor = TlsAcceptor::from(shown.offering(BOTH).config());
    let (port_in, port) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            port_in.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(one(acceptor.clone(), stream, answer));
            }
        });
    });
    port.recv().unwrap()
}

async fn one(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    answer: fn(Request<RecvStream>, SendResponse<Bytes>),
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            answer(request, respond);
        }
        return;
    }
    while stream.read(&mut [0; 4096]).await.is_ok_and(|len| len > 0) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let _ = stream.flush().await;
    }
}

fn told(answer: fn(Request<RecvStream>, SendResponse<Bytes>)) -> Told {
    let authority = Authority::new();
    ask("https", served(authority.shown(|_| ()), answer), "/x?y=1", &["--ca-file", authority.file()])
}

/// A server that agrees on HTTP/2 and then does `inside`; HTTP/1.1 it speaks well.
fn agreeing(inside: fn(Tls)) -> Told {
    let authority = Authority::new();
    let port = authority.shown(|_| ()).offering(BOTH).serve(move |mut stream| {
        while stream.conn.is_handshaking() {
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return;
            }
        }
        if stream.conn.alpn_protocol() == Some(b"h2") {
            return inside(stream);
        }
        while head(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    ask("https", port, "/", &["--ca-file", authority.file()])
}

#[test]
fn a_sound_answer_is_sound_and_its_header_is_measured() {
    let told = told(|request, mut respond| {
        let named = request.headers()["user-agent"].to_str().unwrap().starts_with("tracer-probe/");
        let asked = *request.uri() == "https://www.example.com/x?y=1";
        let answer = Response::builder().status(if named && asked { 200 } else { 500 });
        let answer = answer.header("x-filler", "f".repeat(20_000)).body(()).unwrap();
        respond.send_response(answer, false).unwrap().send_data(Bytes::from_static(b"ok"), true).unwrap();
    });
    told.is_fine();
    told.says("TLS", "ALPN: HTTP/2 and HTTP/1.1").says(HTTP2, "status 200");
    told.says("HTTP/2 response header", "largest: x-filler 20012");
    assert!(!told.out.contains("ffff"));
}

#[test]
fn a_header_above_the_limit_is_told_in_http2_too() {
    let told = told(|_, mut respond| {
        let answer = Response::builder().header("x-filler", "f".repeat(140_000)).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    });
    told.shows("HTTP/2 response header", "would_be", Some(520), Some("headers_too_large")).ends(WOULD_FAIL);
}

#[test]
fn streams_that_are_reset_or_stand_still_are_told() {
    let reset = told(|_, mut respond| respond.send_reset(Reason::INTERNAL_ERROR));
    reset.shows(HTTP2, "would_be", Some(520), Some("http2_protocol_error")).says(HTTP2, "INTERNAL_ERROR");
    reset.ends(WOULD_FAIL);
    let cut = told(|_, mut respond| {
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        tokio::spawn(async move {
            // At once, it would go out in place of the header section.
            tokio::time::sleep(Duration::from_millis(200)).await;
            body.send_reset(Reason::CANCEL);
        });
    });
    cut.shows(HTTP2, "at_risk", None, Some("http2_protocol_error")).ends(FINE);
    let silent = told(|_, respond| {
        std::mem::forget(respond);
    });
    silent.shows(HTTP2, "at_risk", Some(524), Some("response_timeout")).ends(FINE);
}

#[test]
fn what_is_no_http2_is_told() {
    let closes = agreeing(|mut stream| drop(stream.read(&mut [0; 4096])));
    closes.shows(HTTP2, "would_be", Some(520), Some("empty_reply")).ends(WOULD_FAIL);
    let other = agreeing(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        thread::sleep(Duration::from_millis(200));
    });
    other.shows(HTTP2, "would_be", Some(520), Some("http2_protocol_error")).says(HTTP2, "is no HTTP/2");
    let goes_away = agreeing(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        // SETTINGS, then GOAWAY: last stream 0, ENHANCE_YOUR_CALM, and words that nobody is to see.
        let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x0e\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0bsecret";
        let _ = stream.write_all(frames);
        let _ = stream.flush();
        thread::sleep(Duration::from_millis(200));
    });
    goes_away.shows(HTTP2, "would_be", Some(520), Some("http2_protocol_error")).says(HTTP2, "ENHANCE_YOUR_CALM");
    assert!(!goes_away.out.contains("secret"));
    for told in [closes, other, goes_away] {
        told.shows("HTTP/1.1", "ok", None, None).ends(WOULD_FAIL);
    }
}
