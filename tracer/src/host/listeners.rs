//! Listening TCP sockets with their accept queues, as the kernel's sock_diag tells, and the processes that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use procfs::process::FDTarget;

use super::sock_diag::SockDiag;

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
    let kernel = SockDiag::open()?;
    let mut found = dump(&kernel, AF_INET, SocketId::new_v4())?;
    found.extend(dump(&kernel, AF_INET6, SocketId::new_v6())?);
    found.sort_by_key(|listener| (listener.port, listener.addr, listener.inode));
    Ok(found)
}

fn dump(kernel: &SockDiag, family: u8, socket_id: SocketId) -> Result<Vec<Listener>> {
    let (protocol, extensions, states) = (IPPROTO_TCP, ExtensionFlags::empty(), StateFlags::LISTEN);
    let request = InetRequest { family, protocol, extensions, states, socket_id };
    let mut found = Vec::new();
    kernel.dump(SockDiagMessage::InetRequest(request), |answer| {
        if let SockDiagMessage::InetResponse(socket) = answer {
            let socket = socket.header;
            found.push(Listener {
                addr: socket.socket_id.source_address,
                port: socket.socket_id.source_port,
                queue: socket.recv_queue,
                limit: socket.send_queue,
                inode: socket.inode.into(),
            });
        }
    })?;
    Ok(found)
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

    use rustix::net::{AddressFamily, SocketAddrV4, SocketType};

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
}
