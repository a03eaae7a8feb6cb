//! Sockets: which connection one belongs to, and its fields.
//!
//! One socket reaches the programs in three types, each of which allows other reads: [`Sock`] from tracepoints,
//! [`PacketSock`] from the packet programs, and [`TcpSock`], to which both convert. [`Identity`] finds the
//! connection of any of them in the tables.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::bpf_skc_to_tcp_sock,
    programs::SkBuffContext,
};
use tracer_common::{ListenerKey, Tuple, v4_mapped};

use super::*;
use crate::wire::headers::IPPROTO_TCP;

pub const AF_INET6: u16 = 10;

/// What identifies the connection that a socket belongs to.
pub trait Identity {
    /// Key of the connection in the maps: the address of the socket.
    fn key(&self) -> u64;
    /// The peer's address and port in one number, as kept in [`tracer_common::Conn::peer`]. It differs between
    /// two sockets that had the same memory one after the other.
    fn peer(&self) -> u64;
}

/// Puts the two fields into one number, as [`Identity::peer`] returns it: above the port the IPv4 address, or what
/// an IPv6 socket has in that field.
#[inline(always)]
pub fn peer(port: u16, address: u32) -> u64 {
    u64::from(address) << 16 | u64::from(port)
}

/// [`Identity::peer`] of a socket whose type the verifier knows.
///
/// # Safety
/// `base` is a BTF pointer to a structure that begins with `sock_common`.
#[inline(always)]
unsafe fn typed_peer(base: *const c_void) -> u64 {
    // SAFETY: `base` begins with `sock_common`, as required above, and both fields are of that structure.
    unsafe { peer(field(base, &OFF_SKC_DPORT), field(base, &OFF_SKC_DADDR)) }
}

/// Inode number of the file of this `struct socket`, which the kernel numbers with 32 bits; 0: there is none.
#[inline(always)]
fn inode(socket: u64) -> u32 {
    if socket == 0 {
        return 0;
    }
    probe::<u64>(socket.wrapping_add(OFF_SOCKET_INODE.load()).wrapping_add(OFF_INODE_INO.load())).unwrap_or(0) as u32
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

    /// The pointer itself.
    #[inline(always)]
    pub fn pointer(self) -> *const c_void {
        self.0
    }

    /// Whether the socket is plain TCP. `sk_protocol` is read as the 16 bits that it has: cut to 8, MPTCP (262)
    /// would be taken for TCP (6).
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field::<u16>(self.0, &OFF_SK_PROTOCOL) == u16::from(IPPROTO_TCP) }
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        // SAFETY: a BTF pointer to struct sock. Request and time-wait sockets have this field, too: it is part of
        // sock_common.
        unsafe { field(self.0, &OFF_SKC_STATE) }
    }

    #[inline(always)]
    pub fn err(self) -> u32 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field(self.0, &OFF_SK_ERR) }
    }

    /// Whether the peer's FIN has arrived, after which it sends no more data.
    #[inline(always)]
    pub fn peer_is_done(self) -> bool {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field::<u64>(self.0, &OFF_SKC_FLAGS) & 1 << SOCK_DONE != 0 }
    }

    /// Address of the `struct socket`; 0 while no process holds the socket.
    #[inline(always)]
    pub fn socket(self) -> u64 {
        // SAFETY: a BTF pointer to struct sock.
        unsafe { field(self.0, &OFF_SK_SOCKET) }
    }

    /// Inode number of the socket's file, by which /proc lists it; 0 if it has none.
    #[inline(always)]
    pub fn inode(self) -> u32 {
        inode(self.socket())
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        // SAFETY: a BTF pointer to struct sock. The field is 0 once the port is released, on the way to CLOSE.
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

    /// One of the socket's addresses; IPv4 as a v6-mapped address.
    ///
    /// # Safety
    /// `v4` and `v6` are the offsets of an IPv4 and an IPv6 address in `sock_common`.
    #[inline(always)]
    unsafe fn addr(self, v4: &Global<u64>, v6: &Global<u64>) -> [u8; 16] {
        if self.family() == AF_INET6 {
            let at = v6.load();
            let mut words = [0_u32; 4];
            for (index, word) in words.iter_mut().enumerate() {
                // SAFETY: in6_addr has four words, so `index` stays within it; the verifier checks the load.
                *word = unsafe { core::ptr::read_volatile(self.0.byte_add(at as usize + 4 * index).cast::<u32>()) };
            }
            // SAFETY: both types have 16 bytes, no padding, and take any bytes.
            unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) }
        } else {
            // SAFETY: a BTF pointer to struct sock.
            v4_mapped(unsafe { field::<u32>(self.0, v4) }.to_ne_bytes())
        }
    }

    /// Both ends and the network namespace. To be read before the state is CLOSE: then the ports are released.
    #[inline(always)]
    pub fn tuple(self, peer_addr: [u8; 16]) -> Tuple {
        // SAFETY: a BTF pointer to struct sock. skc_net.net is a BTF pointer, too, and never null in a live socket.
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

    /// Writes what [`Sock::tuple`] returns, field by field, which takes less stack.
    #[inline(always)]
    pub fn write_tuple(self, into: &mut Tuple) {
        into.peer_addr = self.peer_addr();
        // SAFETY: a BTF pointer to struct sock. skc_net.net is a BTF pointer, too, and never null in a live socket.
        unsafe {
            into.local_addr = self.addr(&OFF_SKC_RCV_SADDR, &OFF_SKC_V6_RCV_SADDR);
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            into.netns = field(net, &OFF_NET_INUM);
            into.peer_port = u16::from_be(field(self.0, &OFF_SKC_DPORT));
        }
        into.local_port = self.local_port();
    }

    /// Key of the listener of this socket's port: network namespace and port.
    #[inline(always)]
    pub fn listener(self) -> ListenerKey {
        // SAFETY: a BTF pointer to struct sock. skc_net.net is a BTF pointer, too, and never null in a live socket.
        let netns = unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field(net, &OFF_NET_INUM)
        };
        ListenerKey { netns, port: self.local_port().into() }
    }

    /// The socket as `tcp_sock`. `None` for a time-wait or request socket, which have none.
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

/// The socket of a packet in a `cgroup_skb` program, not null. Its fields are those of `struct bpf_sock`.
#[derive(Clone, Copy)]
pub struct PacketSock(*mut bpf_sock);

impl PacketSock {
    /// The socket to which the packet belongs. `None`: there is none.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext) -> Option<Self> {
        // SAFETY: the verifier lets a program read this field of its context.
        let pointer = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).__bindgen_anon_2.sk };
        if pointer.is_null() { None } else { Some(Self(pointer)) }
    }

    #[inline(always)]
    pub fn state(self) -> u32 {
        // SAFETY: every `cgroup_skb` program may read this field of a `bpf_sock` that is not null.
        unsafe { (&raw const (*self.0).state).read_volatile() }
    }

    /// The socket as `tcp_sock`. `None` for a request socket, which has none.
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
        // SAFETY: every `cgroup_skb` program may read these fields of a `bpf_sock` that is not null. Both have the
        // byte order that they have in the socket, so that the number equals that of the other types.
        unsafe { peer((&raw const (*self.0).dst_port).read_volatile(), (&raw const (*self.0).dst_ip4).read_volatile()) }
    }
}

/// A `struct tcp_sock *`, not null.
#[derive(Clone, Copy)]
pub struct TcpSock(*const c_void);

impl TcpSock {
    /// Converts any socket pointer that the verifier accepts for `bpf_skc_to_tcp_sock`.
    #[inline(always)]
    pub fn of(sk: *mut c_void) -> Option<Self> {
        // SAFETY: the verifier checks that the argument is a socket; the helper returns null if it is not TCP.
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
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_COPIED_SEQ) }
    }

    #[inline(always)]
    pub fn write_seq(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_WRITE_SEQ) }
    }

    #[inline(always)]
    pub fn bytes_received(self) -> u64 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_BYTES_RECEIVED) }
    }

    #[inline(always)]
    pub fn bytes_sent(self) -> u64 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_BYTES_SENT) }
    }

    /// As [`Sock::inode`]. An iterator's socket shows its file in this type alone.
    #[inline(always)]
    pub fn inode(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct sock.
        inode(unsafe { field(self.0, &OFF_SK_SOCKET) })
    }

    /// Time of the last packet received or data sent, `CLOCK_MONOTONIC` nanoseconds. The kernel has stored it in the
    /// socket, which spares a call of `bpf_ktime_get_ns`.
    #[inline(always)]
    pub fn clock(self) -> u64 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_CLOCK) }
    }

    /// Number of connections in a listener's accept queue.
    #[inline(always)]
    pub fn ack_backlog(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct sock.
        unsafe { field(self.0, &OFF_SK_ACK_BACKLOG) }
    }

    /// Limit of the accept queue: beyond it, the kernel drops new connections.
    #[inline(always)]
    pub fn max_ack_backlog(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_SK_MAX_ACK_BACKLOG) }
    }

    /// Length of a listener's SYN queue: connections whose handshake has begun and is not complete.
    #[inline(always)]
    pub fn syn_queue(self) -> u32 {
        if OFF_ICSK_QLEN.load() == 0 {
            return 0;
        }
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct inet_connection_sock.
        unsafe { field(self.0, &OFF_ICSK_QLEN) }
    }

    /// Whether SYN cookies are off in the socket's network namespace (`net.ipv4.tcp_syncookies` is 0): a full SYN
    /// queue then makes the kernel drop SYNs.
    #[inline(always)]
    pub fn cookies_are_off(self) -> bool {
        if OFF_NET_SYNCOOKIES.load() == 0 {
            return false;
        }
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct sock. skc_net.net is a BTF pointer,
        // too, and never null in a live socket. The setting is a byte or, on older kernels, a word of up to 2.
        unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field::<u8>(net, &OFF_NET_SYNCOOKIES) == 0
        }
    }

    /// `net.ipv4.tcp_max_syn_backlog` of the socket's network namespace.
    #[inline(always)]
    pub fn max_syn_backlog(self) -> u32 {
        if OFF_NET_MAX_SYN_BACKLOG.load() == 0 {
            return u32::MAX;
        }
        // SAFETY: as above.
        unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field(net, &OFF_NET_MAX_SYN_BACKLOG)
        }
    }

    /// Whether the socket is in `TCP_REPAIR` mode, in which it is closed without sending a packet.
    #[inline(always)]
    pub fn in_repair(self) -> bool {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field::<u8>(self.0, &OFF_TCP_REPAIR) & REPAIR_BIT.load() != 0 }
    }

    /// Inode number of the socket's network namespace.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct sock. skc_net.net is a BTF pointer,
        // too, and never null in a live socket.
        unsafe {
            let net: *const c_void = field(self.0, &OFF_SKC_NET);
            field(net, &OFF_NET_INUM)
        }
    }

    /// The window that the peer announced, in bytes.
    #[inline(always)]
    pub fn snd_wnd(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_SND_WND) }
    }

    /// See [`Look::retransmits`](super::look::Look::retransmits).
    #[inline(always)]
    pub fn retransmits(self) -> u8 {
        if OFF_ICSK_RETRANSMITS.load() == 0 {
            return 0;
        }
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct inet_connection_sock.
        unsafe { field(self.0, &OFF_ICSK_RETRANSMITS) }
    }

    /// See [`Look::rto`](super::look::Look::rto).
    #[inline(always)]
    pub fn rto(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct inet_connection_sock.
        unsafe { field(self.0, &OFF_ICSK_RTO) }
    }

    /// Time at which data was last sent, in jiffies.
    #[inline(always)]
    pub fn lsndtime(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.0, &OFF_TCP_LSNDTIME) }
    }

    /// Time at which data was last received, in jiffies.
    #[inline(always)]
    pub fn lrcvtime(self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock, which begins with struct inet_connection_sock.
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

/// A `struct request_sock *` argument of a BTF tracepoint, not null: a connection whose handshake is not complete. Its
/// type begins with `sock_common`. What its TCP type adds lies beyond what the verifier knows of the pointer.
#[derive(Clone, Copy)]
pub struct Request(Sock);

impl Request {
    /// `None` for a null pointer.
    #[inline(always)]
    pub fn new(pointer: *const c_void) -> Option<Self> {
        Sock::new(pointer).map(Self)
    }

    #[inline(always)]
    pub fn peer_addr(self) -> [u8; 16] {
        self.0.peer_addr()
    }

    #[inline(always)]
    pub fn local_port(self) -> u16 {
        self.0.local_port()
    }

    /// Both ends and the network namespace.
    #[inline(always)]
    pub fn tuple(self) -> Tuple {
        self.0.tuple(self.peer_addr())
    }

    /// Whether the peer has acknowledged the SYN-ACK, and the kernel waits for data (`TCP_DEFER_ACCEPT`) or for room
    /// in the accept queue. Also where the kernel's layout does not tell.
    #[inline(always)]
    pub fn is_acknowledged(self) -> bool {
        OFF_IREQ_ACKED.load() == 0 || read_field::<u8>(self.0.key(), &OFF_IREQ_ACKED) & ACKED_BIT.load() != 0
    }

    /// The peer's initial sequence number.
    #[inline(always)]
    pub fn peer_isn(self) -> u32 {
        if OFF_TREQ_RCV_ISN.load() == 0 { 0 } else { read_field(self.0.key(), &OFF_TREQ_RCV_ISN) }
    }
}
