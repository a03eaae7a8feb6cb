//! Which address the edge had dialled, where NAT on this host led the connection elsewhere: to a container, or to
//! another port. The table of tracked connections (conntrack) of the agent's own network namespace knows: that is the
//! host's, in which the ports of containers are published.
//!
//! The kernel answers only who has `CAP_NET_ADMIN` as he asks. So one thread asks, which has that and nothing else, and
//! which reads nothing but the kernel's answers.

mod message;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use log::debug;
use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recvfrom, sendto, socket_with,
    },
};
use tracer_common::Tuple;

use message::{Answer, Flow};

/// There as soon as this network namespace may track connections.
const TRACKS: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// How often it is looked at, until it is there.
const LOOK: Duration = Duration::from_secs(1);
/// A connection that there is not.
const NOBODY: Flow = Flow { peer: NOWHERE, local: NOWHERE };
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// More than the kernel tells of a connection.
const DATAGRAM: usize = 8 << 10;
/// The event loop waits so long for one answer, and so long for all of a second. The kernel takes some microseconds.
const PATIENCE: Duration = Duration::from_millis(5);
const PATIENCE_A_SECOND: Duration = Duration::from_millis(50);
/// Questions a second. Beyond them a failure goes without.
const MOST: u32 = 500;
const SECOND_NS: u64 = 1_000_000_000;

/// A question and an answer, with the question's number.
type Question = (u32, Flow);
type Found = (u32, Option<SocketAddr>);

/// Asks the thread that asks the kernel.
pub struct Conntrack {
    questions: SyncSender<Question>,
    answers: Receiver<Found>,
    number: u32,
    since_ns: u64,
    asked: u32,
    waited: Duration,
}

impl Conntrack {
    /// Starts the thread; `reduce` gives up all of its privileges but `CAP_NET_ADMIN`. `None`: it can't be had.
    #[must_use]
    pub fn start(reduce: impl FnOnce() -> Result<()> + Send + 'static) -> Option<Self> {
        let (questions, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let (ready, is_ready) = sync_channel(1);
        let work = move || {
            let reduced = reduce();
            let able = reduced.is_ok();
            if ready.send(reduced).is_ok()
                && able
                && let Err(error) = serve(&asked, &answer)
            {
                debug!("which address was dialled before NAT is not told any more: {error:#}");
            }
        };
        thread::Builder::new().name("conntrack".to_owned()).spawn(work).ok()?;
        match is_ready.recv().ok()? {
            Ok(()) => Some(Self { questions, answers, number: 0, since_ns: 0, asked: 0, waited: Duration::ZERO }),
            Err(error) => {
                debug!("which address was dialled before NAT is not told: {error:#}");
                None
            }
        }
    }

    /// The address and port that the peer of this connection had dialled, where they are not those of its socket.
    pub fn dialled(&mut self, tuple: &Tuple, now_ns: u64) -> Option<SocketAddr> {
        if now_ns.saturating_sub(self.since_ns) >= SECOND_NS {
            (self.since_ns, self.asked, self.waited) = (now_ns, 0, Duration::ZERO);
        }
        if self.asked >= MOST || self.waited >= PATIENCE_A_SECOND {
            return None;
        }
        let flow = flow(tuple)?;
        self.asked += 1;
        self.number = self.number.wrapping_add(1);
        // Full: it is still about an earlier one.
        self.questions.try_send((self.number, flow)).ok()?;
        let start = Instant::now();
        let found = self.wait(start + PATIENCE);
        self.waited += start.elapsed();
        found.filter(|dialled| *dialled != flow.local)
    }

    /// The answer to the last question. Those to earlier ones, which came too late, are thrown away.
    fn wait(&self, until: Instant) -> Option<SocketAddr> {
        loop {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((number, found)) if number == self.number => return found,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// `None`: addresses of two families, which no connection has.
fn flow(tuple: &Tuple) -> Option<Flow> {
    let end = |addr: [u8; 16], port| SocketAddr::new(Ipv6Addr::from(addr).to_canonical(), port);
    let (peer, local) = (end(tuple.peer_addr, tuple.peer_port), end(tuple.local_addr, tuple.local_port));
    (peer.is_ipv4() == local.is_ipv4()).then_some(Flow { peer, local })
}

/// Answers until nobody asks any more, or until the kernel does not answer. Where nothing is tracked the kernel is not
/// asked: that would load its modules.
fn serve(questions: &Receiver<Question>, answers: &SyncSender<Found>) -> Result<()> {
    while !Path::new(TRACKS).exists() {
        match questions.recv_timeout(LOOK) {
            Ok((number, _)) if answers.send((number, None)).is_ok() => {}
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(()),
        }
    }
    let socket = open()?;
    // The first question makes the kernel load ctnetlink, if it is a module. That takes longer than a failure waits.
    ask(&socket, &NOBODY, 0)?;
    for (number, flow) in questions {
        if answers.send((number, ask(&socket, &flow, number)?)).is_err() {
            break;
        }
    }
    Ok(())
}

fn ask(socket: &OwnedFd, flow: &Flow, number: u32) -> Result<Option<SocketAddr>> {
    let question = message::question(flow, number);
    sendto(socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).context("asking ctnetlink")?;
    let mut buffer = [0; DATAGRAM];
    // The kernel has answered by the time that it has taken the question.
    loop {
        let (len, _, from) = match recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return Ok(None),
            received => received.context("reading from ctnetlink")?,
        };
        // Number 0 is the kernel.
        let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
        if from.is_none_or(|from| from.pid() != 0) {
            continue;
        }
        match message::answer(buffer.get(..len).unwrap_or_default(), flow, number) {
            Answer::Dialled(dialled) => return Ok(Some(dialled)),
            Answer::Unknown => return Ok(None),
            Answer::Refused(error) => return Err(error).context("ctnetlink"),
            Answer::Other => {}
        }
    }
}

fn open() -> Result<OwnedFd> {
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))
        .context("opening a ctnetlink socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> Tuple {
        Tuple { local_port: port, peer_port: 1, ..Tuple::default() }
    }

    #[test]
    fn a_connection_that_nobody_tracks_was_dialled_as_it_is() {
        let mut conntrack = Conntrack::start(|| Ok(())).unwrap();
        assert_eq!(conntrack.dialled(&tuple(80), SECOND_NS), None);
    }

    #[test]
    fn without_the_privilege_there_is_none_to_ask() {
        assert!(Conntrack::start(|| anyhow::bail!("no")).is_none());
    }

    /// One that is asked by hand.
    fn staged() -> (Conntrack, Receiver<Question>, SyncSender<Found>) {
        let (questions, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(16);
        let number = 0;
        (Conntrack { questions, answers, number, since_ns: 0, asked: 0, waited: Duration::ZERO }, asked, answer)
    }

    #[test]
    fn an_answer_that_came_too_late_is_not_taken_for_that_to_the_next_question() {
        let (mut conntrack, asked, answer) = staged();
        let (old, new) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
        assert_eq!(conntrack.dialled(&tuple(80), SECOND_NS), None);
        asked.recv().unwrap();
        answer.send((1, Some(old))).unwrap();
        answer.send((2, Some(new))).unwrap();
        assert_eq!(conntrack.dialled(&tuple(80), SECOND_NS), Some(new));
    }

    #[test]
    fn where_no_answer_comes_a_second_costs_little_and_the_next_one_is_tried_again() {
        let (mut conntrack, asked, _answer) = staged();
        let start = Instant::now();
        for _ in 0..1000 {
            assert_eq!(conntrack.dialled(&tuple(80), SECOND_NS), None);
            let _taken = asked.try_recv();
        }
        // A busy machine may wake up late, and more often than not it does not.
        assert!(conntrack.asked <= 10, "{} questions in {:?}", conntrack.asked, start.elapsed());
        conntrack.dialled(&tuple(80), 2 * SECOND_NS);
        assert_eq!(conntrack.asked, 1);
    }

    #[test]
    fn addresses_of_two_families_are_no_flow() {
        let v4 = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        assert_eq!(flow(&Tuple { local_addr: v4, ..tuple(80) }), None);
        let flow = flow(&Tuple { local_addr: v4, peer_addr: v4, ..tuple(80) }).unwrap();
        assert_eq!((flow.local, flow.peer), ("127.0.0.1:80".parse().unwrap(), "127.0.0.1:1".parse().unwrap()));
    }
}
