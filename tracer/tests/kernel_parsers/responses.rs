//! Whole responses, each cut at every byte and sent in every two packets: the kernel's verdict beside the agent's.

use tracer::http::Progress;
use tracer_common::gate::Verdict;
use tracer_fuzz_targets::framing::{check, check_all, of};

/// Responses that end where they say: the kernel lets them pass.
const SOUND: [(&str, Verdict); 26] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: y\r\n\r\n", Verdict::Whole),
    ("HTTP/1.0 404 Not Found\ncontent-length:   2  \n\nno", Verdict::Whole),
    ("HTTP/1.1 200\r\nA: b:c d\r\nCONTENT-LENGTH:\t00000000000000002\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok more than was announced", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nX: a\r\n  folded, in words: so\r\n\tagain\r\nContent-Length: 0\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 200 \u{e9}\r\nX-Y.z_1: \"\u{e9}\"\t(;,)\r\nX:\r\nContent-Length: 2\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nTransfer-Encodings: a\r\nTransferred: b\r\nContent-Length: 2\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \t\r\n\r\n2;a=b\r\nok\r\n0;c\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding:gzip,Chunked\n\n00002  \r\nok\r\n000\r\nTrailer: x\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nB\r\n12\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", Verdict::Whole),
    ("HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil the end", Verdict::UntilClose),
    ("HTTP/1.0 200 OK\r\n\r\n", Verdict::UntilClose),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n", Verdict::UntilClose),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Verdict::UntilClose),
    ("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{81}", Verdict::Whole),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 204 N\r\n\r\n", Verdict::Whole),
    ("HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Verdict::Whole),
    ("HTTP/1.1 103 E\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\nok", Verdict::UntilClose),
    ("HTTP/1.1 103 E\n\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Verdict::Whole),
];

/// Responses that no edge takes, or that end too early.
const BROKEN: [(&str, Verdict); 36] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\n\r\n5\r\nok", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n80000000\r\nok\r\n\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\nok\r\n\r\n", Verdict::Cut),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nException in a thread\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0 x\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 5\r\n\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n , chunked\r\n\r\n5\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip,\r\n\tchunked\r\n\r\n5\r\nok", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\nno field\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 200 OK\r\n0\nContent-Length: 0\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\n0\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\n: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\nX\u{e9}: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\n\u{e9}: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\nX(long name)y/z: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\nX: a\0\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\r\nX: a long value\u{7f}\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304 N\x08\r\nX: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 304-N\r\nX: a\r\n\r\n", Verdict::Odd),
    ("HTTP/1.1 30 N\r\nX: a\r\n\r\n", Verdict::Odd),
    ("HTTP/2 200\r\nX: a\r\n\r\n", Verdict::Odd),
    ("<html>\n\nno status line", Verdict::Odd),
    ("\r\n\r\n", Verdict::Odd),
    ("\n", Verdict::Cut),
];

/// Responses that an edge takes, or some edge does, and the kernel hands over to be read by the agent.
const SUSPECT: [&str; 11] = [
    "HTTP/1.1 200 OK\r\nTransfer-Encoding:: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "\n\nHTTP/1.1 103 E\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\nok",
    "\r\n\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1  200  OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000000000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n",
];

#[test]
fn what_the_agent_calls_a_failure_is_handed_over_at_every_cut_and_split() {
    let responses = SOUND.iter().chain(&BROKEN).map(|(response, _)| *response).chain(SUSPECT);
    responses.for_each(|response| check_all(response.as_bytes()));
}

#[test]
fn a_sound_response_is_whole_for_both_however_it_is_split() {
    for (response, verdict) in SOUND {
        let bytes = response.as_bytes();
        for split in 0..bytes.len() {
            let (first, rest) = bytes.split_at(split);
            let said = if split == 0 { of(&[rest]) } else { of(&[first, rest]) };
            let progress = match verdict {
                Verdict::UntilClose => Progress::UntilClose,
                _ if response.contains(" 101 ") => Progress::Upgraded,
                _ => Progress::Whole,
            };
            assert_eq!(said, (verdict, progress), "{}|{}", first.escape_ascii(), rest.escape_ascii());
        }
    }
}

#[test]
fn a_broken_response_is_told() {
    for (response, verdict) in BROKEN {
        let (kernel, agent) = of(&[response.as_bytes()]);
        assert_eq!(kernel, verdict, "{}", response.escape_debug());
        let fails = matches!(agent, Progress::InHead | Progress::InBody | Progress::Malformed);
        // The agent reads these as lists, and cannot tell what the zeros begin.
        assert!(fails || response.contains(" 0 x") || response.contains("folded"), "{agent:?}: {response:?}");
    }
}

#[test]
fn a_bare_cr_is_found_at_every_place() {
    for before in 0..20 {
        let value = "v".repeat(before);
        let bare = format!("HTTP/1.1 304 N\r\nX: {value}\rb\r\n\r\n");
        assert_eq!(of(&[bare.as_bytes()]), (Verdict::Odd, Progress::Malformed), "{before}");
        let named = format!("HTTP/1.1 304 N\r\nX{value}\rb: c\r\n\r\n");
        assert_eq!(of(&[named.as_bytes()]), (Verdict::Odd, Progress::Malformed), "{before}");
        let sound = format!("HTTP/1.1 304 N\r\nX: {value}\r\nY{value}:\r\n\r\n");
        assert_eq!(of(&[sound.as_bytes()]), (Verdict::Whole, Progress::Whole), "{before}");
    }
}

#[test]
fn long_sections_and_bodies_are_judged_as_the_agent_judges_them() {
    let fill = |len| "x".repeat(len);
    for len in [1900, 1990, 2000, 2010, 2020, 2047, 2048, 2049, 4090, 4100, 9000] {
        let early = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {}\r\n\r\nok", fill(len));
        let late = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok", fill(len));
        let chunk = format!("{len:x}\r\n{}\r\n", fill(len));
        let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\nT: x\r\n\r\n");
        for response in [&early, &late, &chunked] {
            let bytes = response.as_bytes();
            let splits = (0..60).chain(bytes.len() - 30..bytes.len()).chain((0..bytes.len()).step_by(97));
            for split in splits {
                let (first, rest) = bytes.split_at(split);
                check([first, rest].into_iter());
                check(first.chunks(1448).chain(rest.chunks(1448)));
                check([first, &rest[..rest.len() - 1]].into_iter());
            }
        }
        // The kernel loads whole words: of a response that ends within the last eight bytes of the buffer, and whose
        // section does, too, it does not see that.
        if (2040..=2048).contains(&early.len()) {
            continue;
        }
        assert_eq!(of(&[chunked.as_bytes()]), (Verdict::Whole, Progress::Whole), "{len}");
        assert_eq!(of(&[&chunked.as_bytes()[..chunked.len() - 2]]).0, Verdict::Cut, "{len}");
        assert_eq!(of(&[early.as_bytes()]), (Verdict::Whole, Progress::Whole), "{len}");
        assert_eq!(of(&[&early.as_bytes()[..early.len() - 1]]), (Verdict::Cut, Progress::InBody), "{len}");
    }
}
