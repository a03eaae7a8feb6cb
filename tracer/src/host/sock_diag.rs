//! The kernel's sock_diag: asks for a list of sockets of the calling thread's network namespace.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use rustix::fd::OwnedFd;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with, sockopt};

const PATIENCE: Duration = Duration::from_secs(2);
/// More than the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 64 << 10;

/// An open socket to it.
pub(super) struct SockDiag(OwnedFd);

impl SockDiag {
    pub(super) fn open() -> Result<Self> {
        let kind = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, kind)
            .context("opening a sock_diag socket")?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Asks, and gives each answer to `each`.
    pub(super) fn dump(&self, request: SockDiagMessage, mut each: impl FnMut(SockDiagMessage)) -> Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut request = NetlinkMessage::new(header, request.into());
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.0, &bytes, SendFlags::empty(), &kernel).context("asking sock_diag")?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let (len, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty()).context("reading from sock_diag")?;
            if take(&buffer[..len], &mut each)? {
                return Ok(());
            }
        }
    }
}

/// Takes the messages of one datagram; true: the dump is over.
fn take(mut datagram: &[u8], each: &mut impl FnMut(SockDiagMessage)) -> Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram).context("reading from sock_diag")?;
        let len = (message.header.length as usize).next_multiple_of(4).max(4);
        match message.payload {
            NetlinkPayload::InnerMessage(answer) => each(answer),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => bail!("sock_diag: {error}"),
            _ => {}
        }
        datagram = datagram.get(len..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_datagram_is_an_error_and_not_a_panic() {
        for len in 1..16 {
            assert!(take(&vec![0xff; len], &mut drop).is_err(), "{len}");
        }
    }
}
