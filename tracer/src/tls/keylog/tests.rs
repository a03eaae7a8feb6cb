use tracer_common::{RANDOM_LEN, TlsKeys, secret};
use zerocopy::FromZeros as _;

use super::*;

/// Digits of so many bytes, all the same.
fn digits(byte: u8, len: usize) -> String {
    format!("{byte:02x}").repeat(len)
}

fn line(label: &str, random: u8, secret: u8, len: usize) -> String {
    format!("{label} {} {}\n", digits(random, RANDOM_LEN), digits(secret, len))
}

/// A session as the kernel keeps it of the hello messages.
fn hellos(random: u8) -> Session {
    Session::take(&mut TlsKeys {
        has_hellos: 1,
        suite: [0x13, 2],
        client_random: [random; RANDOM_LEN],
        server_random: [9; RANDOM_LEN],
        ..TlsKeys::new_zeroed()
    })
}

/// What a log has of a session: bytes that are valid, by slot, and the first byte of each secret.
fn held(log: &KeyLog, random: u8) -> Option<([u8; 4], [u8; 4])> {
    let session = log.secrets_of(&hellos(random))?;
    let keys = session.keys();
    assert_eq!((keys.suite, keys.server_random, keys.has_hellos), ([0x13, 2], [9; RANDOM_LEN], 1));
    Some((keys.lens, keys.secrets.map(|secret| secret[0])))
}

fn read(text: &str) -> KeyLog {
    let mut log = KeyLog::of(8);
    log.read(text.as_bytes());
    log
}

fn tls13(random: u8) -> String {
    [
        line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", random, 1, 48),
        line("SERVER_HANDSHAKE_TRAFFIC_SECRET", random, 2, 48),
        line("CLIENT_TRAFFIC_SECRET_0", random, 3, 48),
        line("SERVER_TRAFFIC_SECRET_0", random, 4, 48),
    ]
    .concat()
}

#[test]
fn a_session_of_tls_13_has_its_four_secrets_however_the_log_is_split() {
    let text = format!("# a comment\r\n\n{}", tls13(0xab)).replace('\n', "\r\n");
    for step in 1..text.len() {
        let mut log = KeyLog::of(8);
        text.as_bytes().chunks(step).for_each(|part| log.read(part));
        assert_eq!(held(&log, 0xab), Some(([48; 4], [1, 2, 3, 4])), "{step}");
        assert!(log.opens(&hellos(0xab)) && !log.opens(&hellos(1)));
    }
}

#[test]
fn a_session_of_tls_12_has_its_master_secret() {
    let log = read(&line("CLIENT_RANDOM", 7, 5, 48).to_uppercase());
    assert_eq!(held(&log, 7), Some(([48, 0, 0, 0], [5, 0, 0, 0])));
    assert!(log.opens(&hellos(7)));
    assert_eq!(log.find(&hellos(7)).map(|session| session.keys().is_master), Some(1));
}

#[test]
fn one_direction_alone_opens_no_exchange() {
    let text = tls13(1);
    for keep in ["CLIENT_TRAFFIC", "SERVER_TRAFFIC", "CLIENT_HANDSHAKE"] {
        let one: String = text.lines().filter(|line| line.starts_with(keep)).collect();
        let log = read(&format!("{one}\n"));
        assert!(held(&log, 1).is_some() && !log.opens(&hellos(1)), "{keep}");
    }
}

#[test]
fn a_line_that_is_no_secret_is_passed_over_and_the_next_one_read() {
    let (random, secret) = (digits(1, 32), digits(2, 32));
    for wrong in [
        String::new(),
        "CLIENT_TRAFFIC_SECRET_0".to_owned(),
        format!("CLIENT_TRAFFIC_SECRET_0 {random}"),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} "),
        format!("CLIENT_TRAFFIC_SECRET_0  {random} {secret}"),
        format!(" CLIENT_TRAFFIC_SECRET_0 {random} {secret}"),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {secret} "),
        format!("CLIENT_TRAFFIC_SECRET_0\t{random}\t{secret}"),
        format!("CLIENT_TRAFFIC_SECRET_0 {random}00 {secret}"),
        format!("CLIENT_TRAFFIC_SECRET_0 {} {secret}", &random[1..]),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {}", &secret[1..]),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {secret}0"),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {}", digits(2, 49)),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {}", digits(2, 40)),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {}g", &secret[1..]),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} +{}", &secret[1..]),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {}\u{e9}", &secret[2..]),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {secret}\r\r"),
        format!("CLIENT_TRAFFIC_SECRET_1 {random} {secret}"),
        format!("CLIENT_TRAFFIC_SECRET_N {random} {secret}"),
        format!("CLIENT_TRAFFIC_SECRET_10 {random} {secret}"),
        format!("CLIENT_EARLY_TRAFFIC_SECRET {random} {secret}"),
        format!("EXPORTER_SECRET {random} {secret}"),
        format!("CLIENT_RANDOM {random} {secret}"),
        format!("RSA {} {}", digits(1, 8), digits(2, 48)),
        "x".repeat(1 << 20),
        format!("CLIENT_TRAFFIC_SECRET_0 {random} {secret}{}", " ".repeat(1 << 16)),
    ] {
        let log = read(&format!("{wrong}\n{}", line("SERVER_TRAFFIC_SECRET_0", 3, 4, 32)));
        assert_eq!((held(&log, 1), log.len()), (None, 1), "{wrong:.80}");
        assert_eq!(held(&log, 3), Some(([0, 0, 0, 32], [0, 0, 0, 4])), "{wrong:.80}");
    }
}

#[test]
fn the_oldest_session_makes_room_and_is_forgotten_whole() {
    let mut log = KeyLog::of(3);
    for random in 0..250 {
        log.read(tls13(random).as_bytes());
        let known: Vec<_> = (0..250).filter(|random| log.opens(&hellos(*random))).collect();
        assert_eq!(known, (random.saturating_sub(2)..=random).collect::<Vec<_>>());
        assert_eq!((log.len(), log.places.len()), (known.len(), known.len()));
    }
    // The place of a forgotten one has none of its secrets.
    log.read(line("CLIENT_TRAFFIC_SECRET_0", 251, 8, 32).as_bytes());
    assert_eq!(held(&log, 251), Some(([0, 0, 32, 0], [0, 0, 8, 0])));
}

#[test]
fn a_secret_that_is_logged_again_takes_the_place_of_the_first() {
    let log = read(&[line("CLIENT_TRAFFIC_SECRET_0", 1, 2, 48), line("CLIENT_TRAFFIC_SECRET_0", 1, 3, 32)].concat());
    assert_eq!(held(&log, 1).map(|(lens, first)| (lens[secret::CLIENT_TRAFFIC], first[2])), Some((32, 3)));
    assert_eq!(log.len(), 1);
}

#[test]
fn what_comes_after_a_cut_is_no_continuation() {
    let text = line("CLIENT_TRAFFIC_SECRET_0", 1, 2, 32);
    let mut log = KeyLog::of(8);
    log.read(&text.as_bytes()[..100]);
    log.cut();
    log.read(&text.as_bytes()[100..]);
    assert_eq!(log.len(), 0);
    log.read(text.as_bytes());
    assert_eq!(log.len(), 1);
}

#[test]
fn without_its_client_random_a_session_is_not_found() {
    let log = read(&tls13(0));
    assert!(log.secrets_of(&Session::take(&mut TlsKeys::new_zeroed())).is_none());
    assert!(log.secrets_of(&hellos(0)).is_some());
}
