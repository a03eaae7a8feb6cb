//! The sockets that applications listen on, TCP and unix, of one network namespace, with their accept queues.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::TCP_LISTEN;
use netlink_packet_sock_diag::unix::nlas::UnixDiagName;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse};

use super::super::listeners::{self, Listener};
use super::super::servers::target::At;
use super::super::sock_diag::SockDiag;

/// A socket that is listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Socket {
    /// Connections that wait to be accepted, and how many may.
    pub(super) queue: u32,
    pub(super) limit: u32,
    pub(super) inode: u64,
    /// Connections that have been accepted and are open. `None`: not counted (TCP).
    pub(super) accepted: Option<u32>,
}

/// What listens in a network namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Local {
    tcp: Vec<Listener>,
    unix: BTreeMap<OsString, Socket>,
}

impl Local {
    /// The calling thread's namespace.
    pub(super) fn here() -> Result<Self, String> {
        let read = || Ok(Self { tcp: listeners::listening()?, unix: unix()? });
        read().map_err(|error: anyhow::Error| format!("{error:#}"))
    }

    /// What listens at this address, or at every address.
    pub(super) fn at(&self, at: &At) -> Option<Socket> {
        match at {
            At::Unix(path) => self.unix.get(std::ffi::OsStr::new(path)).copied(),
            At::Tcp(addr, port) => {
                let fits = |one: &&Listener| {
                    let own = one.addr.to_canonical();
                    one.port == *port && (own == addr.to_canonical() || own.is_unspecified())
                };
                let one = self.tcp.iter().find(fits)?;
                Some(Socket { queue: one.queue, limit: one.limit, inode: one.inode, accepted: None })
            }
        }
    }
}

/// The unix sockets with a path that are listened on, by that path.
fn unix() -> Result<BTreeMap<OsString, Socket>> {
    let request = UnixRequest {
        state_flags: StateFlags::LISTEN | StateFlags::ESTABLISHED,
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::RQLEN,
        cookie: [0xff; 8],
    };
    let (mut listening, mut open) = (BTreeMap::new(), BTreeMap::new());
    SockDiag::open()?.dump(SockDiagMessage::UnixRequest(request), |answer| {
        if let SockDiagMessage::UnixResponse(found) = answer {
            note(&found, &mut listening, &mut open);
        }
    })?;
    for (path, socket) in &mut listening {
        socket.accepted = Some(open.get(path).copied().unwrap_or(0));
    }
    Ok(listening)
}

fn note(found: &UnixResponse, listening: &mut BTreeMap<OsString, Socket>, open: &mut BTreeMap<OsString, u32>) {
    let Some(UnixDiagName::Pathname(path)) = found.name() else { return };
    if found.header.state != TCP_LISTEN {
        // One that waits to be accepted has no inode yet.
        *open.entry(path.clone()).or_default() += u32::from(found.header.inode != 0);
        return;
    }
    let socket = Socket {
        queue: found.number_of_pending_connection().unwrap_or(0),
        limit: found.max_number_of_pending_connection().unwrap_or(0),
        inode: found.header.inode.into(),
        accepted: None,
    };
    listening.insert(path.clone(), socket);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_unix_socket_is_found_with_its_queue_and_what_was_accepted() {
        let path = std::env::temp_dir().join(format!("tracer-pairs-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let _clients = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        let accepted = listener.accept().unwrap();
        let at = At::Unix(path.to_str().unwrap().to_owned());
        let found = Local::here().unwrap().at(&at).unwrap();
        assert_eq!((found.queue, found.accepted), (1, Some(1)));
        assert!(found.limit > 0 && found.inode > 0, "{found:?}");
        drop(accepted);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Local::here().unwrap().at(&At::Unix("/no/such.sock".to_owned())), None);
    }
}
