//! What the agent and the process that attaches say to each other: datagrams of a fixed size over a pair of sockets,
//! with at most one descriptor.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::{Errno, retry_on_intr},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the agent wants.
pub(super) mod verbs {
    /// Hold the program that comes with this as the next one.
    pub(in super::super) const HOLD: u32 = 1;
    /// Attach program `number` at offset `at` of the file that comes with this.
    pub(in super::super) const ATTACH: u32 = 2;
    /// Take away the probe with the name `number`.
    pub(in super::super) const DETACH: u32 = 3;
}

/// A wish of the agent's.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Request {
    /// One of [`verbs`].
    pub(super) verb: u32,
    pub(super) number: u32,
    /// Bytes from the start of the file.
    pub(super) at: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Answer {
    /// 0: done. Else the kernel's number of the error.
    pub(super) error: u32,
    /// The name of the probe that was attached.
    pub(super) number: u32,
}

/// Sends a message as one datagram.
pub(super) fn send(
    socket: impl AsFd,
    message: &(impl IntoBytes + Immutable),
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptor) = &descriptor {
        ancillary.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
    }
    let bytes = message.as_bytes();
    let sent = retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// Waits for a message, and the descriptor that may come with it. `None`: the other side is gone.
pub(super) fn receive<T: FromBytes + IntoBytes>(socket: impl AsFd) -> Result<Option<(T, Option<OwnedFd>)>, Errno> {
    let mut message = T::new_zeroed();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let bytes = message.as_mut_bytes();
    let size = bytes.len();
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags));
    let len = match received {
        Err(Errno::CONNRESET) => 0,
        received => received?.bytes,
    };
    if len == 0 {
        return Ok(None);
    }
    if len != size {
        return Err(Errno::BADMSG);
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(Some((message, descriptor)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::fstat;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    const REQUEST: Request = Request { verb: verbs::ATTACH, number: 7, at: u64::MAX };

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_message_comes_with_its_descriptor_and_one_after_it_without() {
        let (here, there) = pair();
        let file = File::open("/proc/self/exe").unwrap();
        send(&here, &REQUEST, Some(file.as_fd())).unwrap();
        send(&here, &REQUEST, None).unwrap();
        let (request, descriptor) = receive::<Request>(&there).unwrap().unwrap();
        assert_eq!(request, REQUEST);
        assert_eq!(fstat(descriptor.unwrap()).unwrap().st_ino, fstat(&file).unwrap().st_ino);
        let (request, descriptor) = receive::<Request>(&there).unwrap().unwrap();
        assert_eq!((request, descriptor.is_none()), (REQUEST, true));
    }

    #[test]
    fn what_is_too_short_is_refused_and_the_end_is_known() {
        let (here, there) = pair();
        send(&here, &Answer { error: 0, number: 1 }, None).unwrap();
        assert_eq!(receive::<Request>(&there).map(|_| ()), Err(Errno::BADMSG));
        drop(here);
        assert_eq!(receive::<Request>(&there).map(|got| got.is_none()), Ok(true));
        assert_eq!(send(&there, &REQUEST, None), Err(Errno::PIPE));
    }
}
