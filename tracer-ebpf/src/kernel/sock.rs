//! Sockets, and whose they are.

use core::ffi::c_void;

use aya_ebpf::{Global, bindings::bpf_sock, helpers::generated::bpf_skc_to_tcp_sock};
use tracer_common::{ListenerKey, Tuple, v4_mapped};

use super::*;
use crate::wire::headers::IPPROTO_TCP;

pub const AF_INET6: u16 = 10;

/// A socket, and whose it is.
pub trait Identity {
    /// Its key in the maps.
    fn key(&self) -> u64;
    /// What [`tracer_common::Conn::peer`] keeps.
    fn peer(&self) -> u64;
}

#[inline(always)]
pub fn peer(port: u16, address: u32) -> u64 {
    u64::from(address) << 16 | u64::from(port)
}

/// The peer of a socket whose type the verifier knows.
///
/// # Safety
/// `base` is a BTF pointer to a structure that begins with `sock_common`.
#[inline(always)]
unsafe fn typed_peer(base: *const c_void) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { peer(field(base, &OFF_SKC_DPORT), field(base, &OFF_SKC_DADDR)) }
}

/// A `struct sock *` argument of a BTF tracepoint, not null.
#[derive(Clone, Copy)]
pub struct Sock(*const c_void);

impl Sock {
    /// `None` for a null pointer.
    #[inline(always)]
    pub fn new(pointer: *const c_void) -> Option<Self> {
        if pointer.is_null() { None } else { Some(Self(pointer)) }
    }

    /// Plain TCP: `sk_protocol` is 16 bits wide, so MPTCP (262) is not taken for TCP (6).
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field::<u16>(self.0, &OFF_SK_PROTOCOL) == u16::from(IPPROTO_TCP) }
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        // SAFETY: a BTF pointer to struct sock; valid for request and time-wait sockets too (sock_common).
        unsafe { field(self.0, &OFF_SKC_STATE) }
    }

    #[inline(always)]
    pub fn err(self) -> u32 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field(self.0, &OFF_SK_ERR) }
    }

    /// Whether the peer's FIN has come: no data can follow.
    #[inline(always)]
    pub fn peer_is_done(self) -> bool {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field::<u64>(self.0, &OFF_SKC_FLAGS) & 1 << SOCK_DONE != 0 }
    }

    /// The address of its `struct socket`; 0 where no process holds it.
    #[inline(always)]
    pub fn socket(self) -> u64 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field(self.0, &OFF_SK_SOCKET) }
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        // SAFETY: a BTF pointer to struct sock. 0 once the port was released (at →CLOSE).
        unsafe { field(self.0, &OFF_SKC_NUM) }
    }

    #[inline(always)]
    pub fn family(self) -> u16 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field(self.0, &OFF_SKC_FAMILY) }
    }

    #[inline(always)]
    pub fn peer_addr(self) -> [u8; 16] {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { self.addr(&OFF_SKC_DADDR, &OFF_SKC_V6_DADDR) }
    }

    /// # Safety
    /// The offsets are those of an IPv4 and an IPv6 address in `sock_common`.
    #[inline(always)]
    unsafe fn addr(self, v4: &Global<u64>, v6: &Global<u64>) -> [u8; 16] {
        if self.family() == AF_INET6 {
            let at = v6.load();
            let mut words = [0_u32; 4];
            for (index, word) in words.iter_mut().enumerate() {
                // SAFETY: in6_addr is four words; the verifier knows the union member.
                *word = unsafe { core::ptr::read_volatile(self.0.byte_add(at as usize + 4 * index).cast::<u32>()) };
            }
            // SAFETY: same size, no padding; both are plain bytes.
            unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) }
        } else {
            // SAFETY: a BTF pointer to struct sock.
            v4_mapped(unsafe { field::<u32>(self.0, v4) }.to_ne_bytes())
        }
    }

    /// Both ends and the namespace. Only before →CLOSE: later the ports are gone.
    #[inline(always)]
    pub fn tuple(self, peer_addr: [u8; 16]) -> Tuple {
        // SAFETY: a BTF pointer to struct sock; skc_net.net is a BTF pointer itself, never null in a live socket.
        unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            Tuple {
                peer_addr,
                local_addr: self.addr(&OFF_SKC_RCV_SADDR, &OFF_SKC_V6_RCV_SADDR),
                peer_port: u16::from_be(field(self.0, &OFF_SKC_DPORT)),
                local_port: self.local_port(),
                netns: field(net, &OFF_NET_INUM),
            }
        }
    }

    /// A listener's key: namespace and port.
    #[inline(always)]
    pub fn listener(self) -> ListenerKey {
        // SAFETY: a BTF pointer to struct sock; skc_net.net is a BTF pointer itself, never null in a live socket.
        let netns = unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field(net, &OFF_NET_INUM)
        };
        ListenerKey { netns, port: self.local_port().into() }
    }

    /// The TCP part; `None` for a time-wait or request socket.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        TcpSock::of(self.0 as *mut c_void)
    }
}

impl Identity for Sock {
    #[inline(always)]
    fn key(&self) -> u64 {
        number(self.0)
    }

    #[inline(always)]
    fn peer(&self) -> u64 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { typed_peer(self.0) }
    }
}

/// The socket of a packet, as a `cgroup_skb` program is given it: not null.
#[derive(Clone, Copy)]
pub struct PacketSock(*mut bpf_sock);

impl PacketSock {
    /// `None` for a null pointer.
    #[inline(always)]
    pub fn new(pointer: *mut bpf_sock) -> Option<Self> {
        if pointer.is_null() { None } else { Some(Self(pointer)) }
    }

    #[inline(always)]
    pub fn state(self) -> u32 {
        // SAFETY: a field that the verifier lets every program of this type read.
        unsafe { (&raw const (*self.0).state).read_volatile() }
    }

    /// The TCP part; `None` for a request socket.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        TcpSock::of(self.0.cast())
    }
}

impl Identity for PacketSock {
    #[inline(always)]
    fn key(&self) -> u64 {
        number(self.0)
    }

    #[inline(always)]
    fn peer(&self) -> u64 {
        // SAFETY: as in `state`; both as they are in the socket.
        unsafe { peer((&raw const (*self.0).dst_port).read_volatile(), (&raw const (*self.0).dst_ip4).read_volatile()) }
    }
}

/// A `struct tcp_sock *`, not null.
#[derive(Clone, Copy)]
pub struct TcpSock(*const c_void);

impl TcpSock {
    /// The TCP socket behind any socket pointer that the verifier accepts here.
    #[inline(always)]
    pub fn of(sk: *mut c_void) -> Option<Self> {
        // SAFETY: the verifier checks the argument's type.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk.cast()) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast_const().cast())) }
    }

    #[inline(always)]
    pub fn rcv_nxt(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_RCV_NXT) }
    }

    #[inline(always)]
    pub fn snd_una(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_SND_UNA) }
    }

    #[inline(always)]
    pub fn rcv_wup(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_RCV_WUP) }
    }

    #[inline(always)]
    pub fn rcv_wnd(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_RCV_WND) }
    }

    #[inline(always)]
    pub fn copied_seq(self) -> u32 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_COPIED_SEQ) }
    }

    #[inline(always)]
    pub fn write_seq(self) -> u32 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_WRITE_SEQ) }
    }

    #[inline(always)]
    pub fn bytes_received(self) -> u64 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_BYTES_RECEIVED) }
    }

    #[inline(always)]
    pub fn bytes_sent(self) -> u64 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_BYTES_SENT) }
    }

    /// Inode number of the socket, 0 where there is none.
    #[inline(always)]
    pub fn inode(self) -> u64 {
        // SAFETY: as above; tcp_sock begins with sock.
        let socket: u64 = unsafe { field(self.0, &OFF_SK_SOCKET) };
        if socket == 0 {
            return 0;
        }
        probe(socket.wrapping_add(OFF_SOCKET_INODE.load()).wrapping_add(OFF_INODE_INO.load())).unwrap_or(0)
    }

    /// When the last packet came or the last data went, `CLOCK_MONOTONIC` nanoseconds: the kernel's own reading, for free.
    #[inline(always)]
    pub fn clock(self) -> u64 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_CLOCK) }
    }

    /// Connections in a listener's accept queue.
    #[inline(always)]
    pub fn ack_backlog(self) -> u32 {
        // SAFETY: as above; tcp_sock begins with sock.
        unsafe { field(self.0, &OFF_SK_ACK_BACKLOG) }
    }

    /// The limit of that queue: above it, the kernel turns connections away.
    #[inline(always)]
    pub fn max_ack_backlog(self) -> u32 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_SK_MAX_ACK_BACKLOG) }
    }

    /// In `TCP_REPAIR` mode a socket is closed without a packet.
    #[inline(always)]
    pub fn in_repair(self) -> bool {
        // SAFETY: as above.
        unsafe { field::<u8>(self.0, &OFF_TCP_REPAIR) & REPAIR_BIT.load() != 0 }
    }

    /// Inode number of its network namespace.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        // SAFETY: as above; skc_net.net is a BTF pointer, never null in a live socket.
        unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field(net, &OFF_NET_INUM)
        }
    }

    /// Jiffies at which data last went out.
    #[inline(always)]
    pub fn lsndtime(self) -> u32 {
        // SAFETY: as above.
        unsafe { field(self.0, &OFF_TCP_LSNDTIME) }
    }

    /// Jiffies at which data last came in.
    #[inline(always)]
    pub fn lrcvtime(self) -> u32 {
        // SAFETY: as above; tcp_sock begins with inet_connection_sock.
        unsafe { field(self.0, &OFF_ICSK_LRCVTIME) }
    }
}

impl Identity for TcpSock {
    #[inline(always)]
    fn key(&self) -> u64 {
        number(self.0)
    }

    #[inline(always)]
    fn peer(&self) -> u64 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { typed_peer(self.0) }
    }
}
