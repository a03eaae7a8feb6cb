//! Where the kernel lets an exchange pass, the agent must not see a failure: the two must agree on where a response
//! ends.

use std::fmt::Display;

use tracer::http::{Exchange, Fault, Progress};
use tracer_common::gate::Verdict;

use crate::kernel::Origin;

/// What the kernel and the agent say of a response.
pub type Said = (Verdict, Progress);

/// What an earlier response may have left in the buffers: nothing; pieces of an interim response and of a last chunk.
const STALE: [&[u8]; 2] = [b"\0", b"1010\r\n\r\n"];

/// A request, and whether its response has no body.
const REQUESTS: [(&[u8], bool); 2] = [(b"GET / HTTP/1.1\r\n\r\n", false), (b"HEAD / HTTP/1.1\r\n\r\n", true)];

/// What the two say of the response so far to GET and to HEAD, if `unsent` bytes more were written.
#[must_use]
pub fn said(origin: &Origin, unsent: u32) -> [Said; 2] {
    let total = origin.sent() + unsent;
    let seen = origin.seen(total);
    REQUESTS.map(|(request, head)| {
        let exchange = Exchange::read(request, request.len() as u64, &seen);
        (origin.verdict(head, total), exchange.response.progress)
    })
}

/// What the two say of a response to GET that goes out in these packets.
#[must_use]
pub fn of(packets: &[&[u8]]) -> Said {
    let mut origin = Origin::new(STALE[0]);
    packets.iter().for_each(|packet| origin.send(packet));
    said(&origin, 0)[0]
}

/// Sends the packets of one response, and checks after each what is said.
///
/// # Panics
/// If the kernel keeps to itself what the agent calls a failure.
pub fn check<'a>(packets: impl Iterator<Item = &'a [u8]> + Clone) {
    for stale in STALE {
        let mut origin = Origin::new(stale);
        for (count, packet) in packets.clone().enumerate().filter(|(_, packet)| !packet.is_empty()) {
            origin.send(packet);
            check_now(&origin, || packets.clone().take(count + 1).map(<[u8]>::escape_ascii).collect());
        }
    }
}

/// Sends every prefix of a response in every two packets, and checks what is said of it.
///
/// # Panics
/// If the kernel keeps to itself what the agent calls a failure.
pub fn check_all(response: &[u8]) {
    for stale in STALE {
        for split in 0..response.len() {
            let (first, rest) = response.split_at(split);
            let mut origin = Origin::new(stale);
            if !first.is_empty() {
                origin.send(first);
            }
            for len in 1..=rest.len() {
                let mut origin = origin.clone();
                origin.send(&rest[..len]);
                check_now(&origin, || vec![first.escape_ascii(), rest[..len].escape_ascii()]);
            }
        }
    }
}

/// Checks what is said of what went out in these packets, whether or not more was written.
fn check_now<T: Display>(origin: &Origin, packets: impl Fn() -> Vec<T>) {
    for unsent in [0, 9] {
        for (said, (request, _)) in said(origin, unsent).into_iter().zip(REQUESTS) {
            // A size that lies across two packets breaks the trail off: only the last bytes tell the kernel then.
            let seen = origin.seen(origin.sent() + unsent);
            let fault = Exchange::read(request, request.len() as u64, &seen).response.fault;
            let broken_off = fault.is_some_and(Fault::is_in_body) && !origin.follows_chunks();
            // The kernel does not look at each character of a name.
            let odd_name = fault == Some(Fault::Field) && has_a_name_with_marks(seen.head);
            // Of a section that is longer than what is kept, the kernel does not load the last few bytes that are.
            let unseen = said.1 == Progress::Malformed && origin.section_len() > origin.kept();
            // A response of which some is unsent is judged again when that has gone out.
            let later = unsent > 0 && said.0 == Verdict::Unknown;
            if !is_handed_over(said) && !unseen && !later && !broken_off && !odd_name {
                let packets: String = packets().iter().map(|packet| format!("\n  {packet}")).collect();
                panic!("{said:?} of a response to {} with {unsent} bytes unsent:{packets}", request.escape_ascii());
            }
        }
    }
}

/// Whether the name of a field holds a character of ASCII that none may hold, such as a bracket, and no other.
fn has_a_name_with_marks(head: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let mut names = head.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b':').next());
    names.any(|name| name.iter().all(u8::is_ascii_graphic) && !name.iter().all(is_token))
}

/// Whether the kernel hands over what the agent calls a failure. It may hand over more, and it does where the process
/// ends after a response that only the end of the connection ends.
const fn is_handed_over((verdict, progress): Said) -> bool {
    let fails = matches!(progress, Progress::InHead | Progress::InBody | Progress::Malformed);
    match verdict {
        Verdict::Whole => matches!(progress, Progress::Whole | Progress::Upgraded | Progress::Unknown),
        Verdict::UntilClose | Verdict::Unknown => !fails,
        Verdict::Cut | Verdict::Odd => true,
    }
}
