//! Listening TCP sockets with their accept queues, as the kernel's sock_diag tells, and the processes that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use procfs::process::FDTarget;
use rustix::fd::OwnedFd;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with, sockopt};

const PATIENCE: Duration = Duration::from_secs(2);
/// More than the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 64 << 10;

/// A socket in LISTEN state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Unspecified: every address.
    pub(crate) addr: IpAddr,
    pub(crate) port: u16,
    /// Connections that wait to be accepted.
    pub(crate) queue: u32,
    /// How many may wait: the backlog of `listen()`, cut to `somaxconn` as it was then.
    pub(crate) limit: u32,
    pub(super) inode: u64,
}

impl Listener {
    /// Whether a peer on another machine can reach it.
    pub(super) fn reachable(&self) -> bool {
        !self.addr.to_canonical().is_loopback()
    }
}

/// Every listening socket of the calling thread's network namespace.
pub(crate) fn listening() -> Result<Vec<Listener>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))
        .context("opening a sock_diag socket")?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    let mut found = dump(&socket, AF_INET, SocketId::new_v4())?;
    found.extend(dump(&socket, AF_INET6, SocketId::new_v6())?);
    found.sort_by_key(|listener| (listener.port, listener.addr, listener.inode));
    Ok(found)
}

fn dump(socket: &OwnedFd, family: u8, socket_id: SocketId) -> Result<Vec<Listener>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut request = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    sendto(socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).context("asking sock_diag")?;
    let mut found = Vec::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (len, _) = recv(socket, &mut buffer[..], RecvFlags::empty()).context("reading from sock_diag")?;
        if take(&buffer[..len], &mut found)? {
            return Ok(found);
        }
    }
}

/// Takes the messages of one datagram; true: the dump is over.
fn take(mut datagram: &[u8], found: &mut Vec<Listener>) -> Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram).context("reading from sock_diag")?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                let socket = socket.header;
                found.push(Listener {
                    addr: socket.socket_id.source_address,
                    port: socket.socket_id.source_port,
                    queue: socket.recv_queue,
                    limit: socket.send_queue,
                    inode: socket.inode.into(),
                });
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => bail!("sock_diag: {error}"),
            _ => {}
        }
        let len = (message.header.length as usize).next_multiple_of(4).max(4);
        datagram = datagram.get(len..).unwrap_or_default();
    }
    Ok(false)
}

/// Which processes hold each of these sockets: inode → pids.
pub(super) fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, Vec<i32>> {
    let mut found: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        for fd in process.fd().into_iter().flatten().flatten() {
            if let FDTarget::Socket(inode) = fd.target
                && sockets.contains(&inode)
            {
                let pids = found.entry(inode).or_default();
                if pids.last() != Some(&process.pid) {
                    pids.push(process.pid);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustix::net::SocketAddrV4;

    use super::*;

    #[test]
    fn a_backlog_is_read_back_as_it_was_asked_for_and_its_queue_is_counted() {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&socket, 7).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let at = listener.local_addr().unwrap();
        let _waiting = std::net::TcpStream::connect(at).unwrap();
        let found = listening().unwrap();
        let found = found.iter().find(|one| one.port == at.port()).unwrap();
        assert_eq!((found.addr, found.limit, found.queue), (at.ip(), 7, 1));
        assert!(!found.reachable());
        let inode = found.inode;
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holders(&BTreeSet::from([inode])).get(&inode), Some(&vec![me]));
    }

    #[test]
    fn half_a_datagram_is_an_error_and_not_a_panic() {
        let mut found = Vec::new();
        for len in 1..16 {
            assert!(take(&vec![0xff; len], &mut found).is_err(), "{len}");
        }
        assert!(found.is_empty());
    }
}
