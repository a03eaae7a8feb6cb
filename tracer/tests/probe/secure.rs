//! TLS: handshakes that fail, and certificates that the edge would not accept.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CustomExtension, DnType, IsCa, date_time_ymd};
use rustix::net::sockopt::set_socket_linger;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::{
    asking::{FINE, HOST, Told, WOULD_FAIL, ask, head, run, serve},
    certificates::{Authority, Shown},
};

const NAME: &str = "certificate name";
const DATES: &str = "certificate dates";
const CHAIN: &str = "certificate chain";

#[track_caller]
fn refused(told: &Told, what: &str, why: &str) {
    told.shows(what, "would_be", Some(526), Some("cert_invalid")).says(what, why).ends(WOULD_FAIL);
    assert_eq!(told.report["modes"], serde_json::json!({ "full": null, "full_strict": 526 }));
    for other in [NAME, DATES, CHAIN].into_iter().filter(|other| *other != what) {
        told.shows(other, "ok", None, None);
    }
}

#[test]
fn a_sound_certificate_is_sound_in_every_version() {
    let authority = Authority::new();
    let ask = |shown: Shown| ask("https", shown.serve_soundly(), "/", &["--ca-file", authority.file()]);
    let told = ask(authority.shown(|_| ()));
    told.is_fine();
    told.says("TLS", "TLS 1.3, TLS 1.2 as well; ALPN: HTTP/1.1 alone").says(NAME, HOST).says("HTTP/2", "not offered");
    told.says(CHAIN, "leads to an authority that --ca-file trusts").says("client certificate", "not asked for");
    assert_eq!(told.report["modes"], serde_json::json!({ "full": null, "full_strict": null }));
    ask(authority.shown(|_| ()).only(&TLS12)).says("TLS", "TLS 1.2, not TLS 1.3").is_fine();
    ask(authority.shown(|_| ()).only(&TLS13)).says("TLS", "TLS 1.3, not TLS 1.2").is_fine();
}

#[test]
fn each_fault_of_a_certificate_is_a_526_of_its_own() {
    let authority = Authority::new();
    let ask = |shown: Shown| ask("https", shown.serve_soundly(), "/", &["--ca-file", authority.file()]);
    let expired = ask(authority.shown(|params| params.not_after = date_time_ymd(2021, 2, 3)));
    refused(&expired, DATES, "expired on 2021-02-03");
    let future = ask(authority.shown(|params| params.not_before = date_time_ymd(2080, 2, 3)));
    refused(&future, DATES, "not valid before 2080-02-03");
    let other = ["other.example".to_owned(), "*.example.org".to_owned()];
    let other = other.map(|name| rcgen::SanType::DnsName(name.try_into().unwrap()));
    let wrong = ask(authority.shown(|params| params.subject_alt_names = other.to_vec()));
    refused(&wrong, NAME, "www.example.com is not among its names (other.example, *.example.org)");
    let own = ask(Shown::self_signed(|_| ()));
    refused(&own, CHAIN, "self-signed");
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    refused(&ask(Shown::self_signed(|params| params.is_ca = ca)), CHAIN, "self-signed");
    let incomplete = ask(authority.shown(|_| ()).alone());
    refused(&incomplete, CHAIN, "an intermediate certificate is missing, or the authority is not public");
    let public = ask(authority.shown(|params| params.custom_extensions.push(issuers_place())).alone());
    refused(&public, CHAIN, "most likely an intermediate certificate is missing");
}

/// Where the issuer's certificate can be fetched (RFC 5280 §4.2.2.1).
fn issuers_place() -> CustomExtension {
    let url = b"http://ca.example/i";
    let place = [&[0x86, url.len() as u8][..], url].concat();
    let method = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 48, 2][..], &place].concat();
    let one = [&[0x30, method.len() as u8][..], &method].concat();
    let all = [&[0x30, one.len() as u8][..], &one].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], all)
}

#[test]
fn with_full_no_certificate_counts() {
    let port = Shown::self_signed(|_| ()).serve_soundly();
    let told = ask("https", port, "/", &["--full"]);
    told.shows(CHAIN, "at_risk", Some(526), Some("cert_invalid")).ends(FINE);
    assert_eq!(told.report["modes"]["full_strict"], 526);
    let text = run(&[&format!("https://127.0.0.1:{port}/"), "--host", HOST]);
    assert_eq!(text.status, WOULD_FAIL);
    assert!(text.out.contains("\nTLS by encryption mode: Full fine, Full (strict) 526\nvisitors would see a 526\n"));
}

#[test]
fn an_origin_ca_is_known_by_its_name_and_an_early_end_of_dates_is_a_risk() {
    let authority = Authority::new();
    let port = Shown::self_signed(|params| {
        params.distinguished_name.push(DnType::OrganizationName, "CloudFlare, Inc.");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "CloudFlare Origin SSL Certificate Authority");
    })
    .serve_soundly();
    ask("https", port, "/", &[]).says(CHAIN, "likely Cloudflare's Origin CA").is_fine();
    let in_a_week = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(7 * 24 + 1);
    let day = in_a_week.to_zoned(jiff::tz::TimeZone::UTC).date();
    let shown = authority.shown(|params| {
        let (year, month, day) = (i32::from(day.year()), day.month() as u8, day.day() as u8);
        params.not_after = date_time_ymd(year, month, day);
    });
    let told = ask("https", shown.serve_soundly(), "/", &["--ca-file", authority.file()]);
    told.shows(DATES, "at_risk", Some(526), Some("cert_invalid")).ends(FINE);
}

#[test]
fn client_certificates_that_are_asked_for_or_demanded_are_told() {
    let authority = Authority::new();
    let asks = |shown: Shown, demands| {
        let port = shown.asking(&authority, demands).serve_soundly();
        ask("https", port, "/", &["--ca-file", authority.file()])
    };
    let told = asks(authority.shown(|_| ()), false);
    told.says("client certificate", "asked for, of CN=Test Root").says("client certificate", "not demanded").is_fine();
    let newest = asks(authority.shown(|_| ()), true);
    newest.shows("client certificate", "at_risk", Some(520), Some("tls_client_cert_required")).ends(FINE);
    newest.says("client certificate", "demanded, of CN=Test Root");
    let by_status = authority.shown(|_| ()).asking(&authority, false).serve(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0]);
    });
    let by_status = ask("https", by_status, "/", &["--ca-file", authority.file()]);
    by_status.shows("client certificate", "at_risk", None, None).says("client certificate", "status 400").ends(FINE);
    let older = asks(authority.shown(|_| ()).only(&TLS12), true);
    older.shows("TLS", "at_risk", Some(525), Some("tls_client_cert_required")).ends(FINE);
}

#[test]
fn handshakes_that_come_to_nothing_are_told() {
    let answers = |bytes: &'static [u8]| {
        serve(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        })
    };
    let failed = |port: u16, cause: &str, why: &str| {
        let told = ask("https", port, "/", &[]);
        told.shows("TLS", "would_be", Some(525), Some(cause)).says("TLS", why).ends(WOULD_FAIL);
        assert_eq!(told.report["modes"], serde_json::json!({ "full": 525, "full_strict": 525 }));
    };
    let plain = answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    failed(plain, "tls_to_plain_port", "in plain HTTP");
    failed(answers(b""), "tls_handshake_failed", "closed within the handshake, after 0 bytes");
    failed(answers(b"\x15\x03\x01\0\x02\x02\x46"), "tls_handshake_failed", "alert protocol_version");
    failed(answers(b"\x15\x03\x03\0\x02\x02\x70"), "tls_handshake_failed", "alert unrecognized_name");
    // A ServerHello of TLS 1.1: version, random, no session, AES128-SHA, no compression.
    let mut hello = b"\x16\x03\x02\0\x2a\x02\0\0\x26\x03\x02".to_vec();
    hello.extend([7; 32]);
    hello.extend(b"\0\0\x2f\0");
    failed(answers(hello.leak()), "tls_handshake_failed", "the origin chose TLS 1.1, which is older than TLS 1.2");
    let resets = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    failed(resets, "tls_handshake_failed", "reset the connection within the handshake");
    let silent = serve(|_stream| thread::sleep(Duration::from_secs(20)));
    let told = ask("https", silent, "/", &["--timeout", "500ms"]);
    told.shows("TLS", "at_risk", Some(525), Some("tls_handshake_failed")).says("TLS", "stood still for 500 ms");
    assert!(told.report["modes"].is_null());
}

#[test]
fn what_goes_wrong_inside_tls_is_told_as_outside() {
    let authority = Authority::new();
    let told = |inside: fn(crate::certificates::Tls)| {
        ask("https", authority.shown(|_| ()).serve(inside), "/", &["--ca-file", authority.file()])
    };
    let empty = told(|mut stream| {
        let _ = head(&mut stream);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    empty.shows("HTTP/1.1", "would_be", Some(520), Some("empty_reply")).ends(WOULD_FAIL);
    let fin = told(|mut stream| drop(head(&mut stream)));
    fin.shows("HTTP/1.1", "would_be", Some(520), Some("empty_reply")).ends(WOULD_FAIL);
    let cut = told(|mut stream| {
        let _ = head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le");
    });
    cut.shows("HTTP/1.1", "would_be", Some(520), Some("truncated_headers")).ends(WOULD_FAIL);
}
