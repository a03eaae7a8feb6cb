//! Plain HTTP: the lab's origin, which fails by path, and servers that write given bytes.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use lab::origin::{Mode, Spec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};

use crate::asking::{FINE, WOULD_FAIL, ask, free_port, head, run, serve};

/// The lab's origin, in a thread of this process: no path is asked that ends it.
fn origin(change: impl FnOnce(Spec) -> Spec) -> u16 {
    let port = free_port();
    let spec = change(Spec::new(port).workers(0));
    thread::spawn(move || lab::origin::run(&spec));
    let deadline = Instant::now() + Duration::from_secs(10);
    // `NeverAccept` has room for it in its queue.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "the origin did not start");
        thread::sleep(Duration::from_millis(10));
    }
    port
}

fn says(bytes: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        if head(&mut stream).is_some() {
            let _ = stream.write_all(bytes);
        }
    })
}

#[test]
fn a_sound_origin_is_sound_and_its_text_says_so() {
    let port = origin(|spec| spec);
    let told = ask("http", port, "/ok", &[]);
    told.is_fine();
    told.says("HTTP/1.1", "status 200").says("response header", "of 131072 that the edge takes; largest: ");
    assert!(told.report["modes"].is_null());
    let text = run(&[&format!("http://127.0.0.1:{port}/ok?token=secret")]);
    assert_eq!((text.status, text.err.as_str()), (FINE, ""));
    assert!(text.out.starts_with(&format!("HTTP at 127.0.0.1:{port}, asked for 127.0.0.1:{port}/ok\n✓ connection: ")));
    assert!(text.out.ends_with("\nno finding would be a 52x\n"), "{}", text.out);
    assert!(!text.out.contains("secret"));
}

#[test]
fn each_way_to_fail_is_told_with_its_cause_and_status() {
    let port = origin(|spec| spec);
    for (path, status, edge_status, cause) in [
        ("/empty", "would_be", Some(520), "empty_reply"),
        ("/linger", "would_be", Some(520), "app_reset"),
        ("/rubbish", "would_be", Some(520), "malformed_response"),
        ("/cut-head", "would_be", Some(520), "truncated_headers"),
        ("/cut", "at_risk", None, "truncated_body"),
        ("/cut-reset", "at_risk", None, "reset_mid_response"),
        ("/hang", "at_risk", Some(524), "response_timeout"),
        ("/partial", "at_risk", None, "response_stalled"),
        ("/hints?then=0", "would_be", Some(520), "empty_reply"),
    ] {
        let told = ask("http", port, path, &[]);
        told.shows("HTTP/1.1", status, edge_status, Some(cause));
        told.ends(if status == "would_be" { WOULD_FAIL } else { FINE });
    }
    ask("http", port, "/hints", &[]).is_fine();
    ask("http", port, "/rows?rows=3", &[]).is_fine();
}

#[test]
fn ports_that_do_not_serve_are_told() {
    let refused = ask("http", free_port(), "/", &[]);
    refused.shows("connection", "would_be", Some(521), Some("port_closed")).ends(WOULD_FAIL);
    // How far a client gets before the FIN or RST is a matter of microseconds.
    for mode in [Mode::Close, Mode::Reset] {
        let told = ask("http", origin(|spec| spec.mode(mode)), "/", &[]);
        let all = told.report["findings"].as_array().unwrap();
        let failed = all.iter().find(|finding| finding["status"] == "would_be").unwrap();
        let cause = failed["cause"].as_str().unwrap();
        assert!(["closed_before_request", "empty_reply", "app_reset"].contains(&cause), "{failed:#}");
        assert_eq!(failed["edge_status"], 520);
        told.ends(WOULD_FAIL);
    }
    let never = ask("http", origin(|spec| spec.mode(Mode::NeverAccept)), "/", &[]);
    never.shows("HTTP/1.1", "at_risk", Some(524), Some("response_timeout")).ends(FINE);
}

#[test]
fn a_port_that_answers_no_syn_is_a_risk_until_the_edges_time_has_passed() {
    // A full accept queue drops SYNs, as a firewall does.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &any).unwrap();
    listen(&listener, 0).unwrap();
    let at: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let fill = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        let _under_way = connect(&socket, &at);
        socket
    };
    let _full: Vec<_> = (0..4).map(|_| fill()).collect();
    let told = ask("http", at.port(), "/", &["--timeout", "1200ms"]);
    told.shows("connection", "at_risk", Some(522), None).says("connection", "no answer in 1.2 s").ends(FINE);
}

#[test]
fn header_sections_are_held_against_the_edges_limit_with_names_and_no_values() {
    let port = origin(|spec| spec);
    ask("http", port, "/headers?bytes=90000", &[]).is_fine();
    let near = ask("http", port, "/headers?bytes=131072", &[]);
    near.shows("response header", "at_risk", Some(520), Some("headers_too_large")).ends(FINE);
    let large = ask("http", port, "/headers?bytes=131073", &[]);
    large.shows("response header", "would_be", Some(520), Some("headers_too_large"));
    large.says("response header", "131073 bytes of 131072 that the edge takes; largest: x-filler 13").ends(WOULD_FAIL);
    assert!(!large.out.contains("fffff"));
    let endless = serve(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    ask("http", endless, "/", &[]).shows("HTTP/1.1", "would_be", Some(520), Some("headers_too_large"));
}

#[test]
fn malformed_heads_are_told_by_their_fault() {
    for (bytes, why) in [
        (&b"HTP/1.1 200 OK\r\n\r\n"[..], "does not begin with a status line"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "a line of the header section is no field"),
        (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "a line of the header section is no field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length is no number"),
        (b"\x15\x03\x01\0\x02\x02\x46", "the port speaks TLS"),
    ] {
        let told = ask("http", says(bytes), "/", &[]);
        told.shows("HTTP/1.1", "would_be", Some(520), Some("malformed_response")).says("HTTP/1.1", why);
        told.ends(WOULD_FAIL);
    }
    let chunk = ask("http", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n<b>"), "/", &[]);
    chunk.shows("HTTP/1.1", "at_risk", None, Some("malformed_response")).ends(FINE);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: 1\r\n".repeat(300)).leak();
    ask("http", says(many.as_bytes()), "/", &[]).shows("HTTP/1.1", "at_risk", None, Some("malformed_response"));
}

#[test]
fn an_origins_own_error_is_a_risk_and_bytes_one_by_one_are_an_answer() {
    let own = ask("http", says(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"), "/", &[]);
    own.shows("HTTP/1.1", "at_risk", None, None).says("HTTP/1.1", "status 503").ends(FINE);
    let single = serve(|mut stream| {
        let _ = head(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        let _ = head(&mut stream);
    });
    ask("http", single, "/", &[]).is_fine();
}

#[test]
fn what_a_server_sends_reaches_no_terminal_and_no_value_is_shown() {
    let port = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret\r\nServer: x\r\nContent-Length: 0\r\n\r\n");
    for words in [&["--json"][..], &[]] {
        let url = format!("http://127.0.0.1:{port}/?token=secret");
        let told = run(&[&[url.as_str()], words].concat());
        assert!(told.out.contains("set-cookie") && !told.out.contains("secret"), "{}", told.out);
        assert!(!told.err.contains("secret"), "{}", told.err);
    }
}
