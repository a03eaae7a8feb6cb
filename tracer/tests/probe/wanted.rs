//! What is asked only where it is wanted, and wrong use.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::Duration,
};

use crate::asking::{FINE, WOULD_FAIL, ask, head, run, serve};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers each request by what `answer` makes of its head; without an answer it closes.
fn answers(answer: impl Fn(&str) -> Option<&'static [u8]> + Clone + Send + 'static) -> u16 {
    serve(move |mut stream| {
        while let Some(head) = head(&mut stream) {
            let Some(bytes) = answer(&String::from_utf8_lossy(&head)) else { return };
            if stream.write_all(bytes).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_large_head_is_taken_refused_or_met_by_a_hang_up() {
    let large = |head: &str| head.len() > 16_000;
    ask("http", answers(|_| Some(OK)), "/", &["--large-head"]).is_fine();
    let refuses = answers(move |head| {
        let refused = b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";
        Some(if large(head) { &refused[..] } else { OK })
    });
    let told = ask("http", refuses, "/", &["--large-head"]);
    told.shows("large request head", "at_risk", None, None).says("large request head", "status 431").ends(FINE);
    let hangs_up = answers(move |head| if large(head) { None } else { Some(OK) });
    let told = ask("http", hangs_up, "/", &["--large-head"]);
    told.shows("large request head", "would_be", Some(520), Some("empty_reply")).ends(WOULD_FAIL);
    let advice = told.finding("large request head")["advice"].as_str().unwrap();
    assert!(advice.contains("32768 bytes of header fields"), "{advice}");
}

#[test]
fn an_origin_goes_on_answers_at_once_or_keeps_the_edge_waiting() {
    let goes_on = serve(|mut stream| {
        while let Some(head) = head(&mut stream) {
            if head.starts_with(b"POST") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
                stream.read_exact(&mut [0; 2]).unwrap();
            }
            stream.write_all(OK).unwrap();
        }
    });
    let told = ask("http", goes_on, "/", &["--expect-continue"]);
    told.says("Expect: 100-continue", "100 (Continue) after").is_fine();
    ask("http", answers(|_| Some(OK)), "/", &["--expect-continue"]).is_fine();
    let waits = serve(|mut stream| {
        if head(&mut stream).is_some_and(|head| head.starts_with(b"GET")) {
            stream.write_all(OK).unwrap();
        }
        let _ = head(&mut stream);
    });
    let told = ask("http", waits, "/", &["--expect-continue"]);
    told.shows("Expect: 100-continue", "at_risk", Some(524), Some("response_timeout")).ends(FINE);
    let closes = answers(|head| if head.starts_with("POST") { None } else { Some(OK) });
    let told = ask("http", closes, "/", &["--expect-continue"]);
    told.shows("Expect: 100-continue", "would_be", Some(520), Some("empty_reply")).ends(WOULD_FAIL);
}

#[test]
fn a_slow_body_is_waited_for_answered_early_or_met_by_a_hang_up() {
    let reads = serve(|mut stream| {
        while let Some(head) = head(&mut stream) {
            if head.starts_with(b"POST") {
                stream.read_exact(&mut [0; 2]).unwrap();
            }
            stream.write_all(OK).unwrap();
        }
    });
    ask("http", reads, "/", &["--slow-body", "2"]).is_fine();
    let early = answers(|head| {
        let late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
        Some(if head.starts_with("POST") { &late[..] } else { OK })
    });
    ask("http", early, "/", &["--slow-body", "2"]).shows("slow body", "at_risk", None, None).ends(FINE);
    let closes = serve(|mut stream| {
        if head(&mut stream).is_some_and(|head| head.starts_with(b"POST")) {
            let _ = stream.read(&mut [0; 2]);
        } else {
            stream.write_all(OK).unwrap();
        }
    });
    let told = ask("http", closes, "/", &["--slow-body", "3"]);
    told.shows("slow body", "would_be", Some(520), Some("request_cut")).ends(WOULD_FAIL);
}

#[test]
fn the_idle_time_of_an_origin_is_measured() {
    let idle = |ms: u64| {
        serve(move |mut stream| {
            stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
            while head(&mut stream).is_some() {
                stream.write_all(OK).unwrap();
            }
        })
    };
    let told = ask("http", idle(1500), "/", &["--keep-alive", "5"]);
    told.shows("keep-alive", "at_risk", Some(520), Some("keepalive_race")).ends(FINE);
    let seen = told.finding("keep-alive")["seen"].as_str().unwrap();
    let seconds = seen.strip_prefix("closed after ").and_then(|rest| rest.split(' ').next()).unwrap();
    let seconds: f64 = seconds.parse().unwrap();
    assert!((1.4..2.5).contains(&seconds), "{seen}");
    let long = ask("http", idle(20_000), "/", &["--keep-alive", "1"]);
    long.says("keep-alive", "open after 1 s idle").is_fine();
    let announced = serve(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        thread::sleep(Duration::from_millis(10));
    });
    ask("http", announced, "/", &["--keep-alive", "1"]).says("keep-alive", "off: ").is_fine();
}

#[test]
fn cloudflares_own_addresses_and_wrong_words_are_wrong_use() {
    for (words, why) in [
        (&["104.16.1.1"][..], "104.16.1.1 is Cloudflare's edge (104.16.0.0/13), not the origin"),
        (&["2606:4700::1"], "is Cloudflare's edge"),
        (&["www.example.com"], "neither an address nor an http:// or https:// URL"),
        (&["https://u:p@192.0.2.1/"], "a user or a password"),
        (&["127.0.0.1", "--keep-alive", "901"], "--keep-alive"),
        (&["127.0.0.1", "--ca-file", "/nowhere"], "--ca-file: /nowhere: No such file"),
        (&["127.0.0.1", "--ca-file", "/dev/null"], "--ca-file: /dev/null holds no certificate in PEM"),
    ] {
        let told = run(words);
        assert_eq!((told.status, told.out.as_str()), (2, ""), "{words:?}: {}", told.err);
        assert!(told.err.contains(why), "{words:?}: {}", told.err);
    }
}
