//! The only file that reads kernel memory. Every offset comes from the running kernel's BTF, at load.

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    bindings::bpf_sock,
    helpers::{
        bpf_get_current_task,
        generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock},
    },
};
use tracer_common::{ListenerKey, Task, Tuple, limits::COMM_LEN, v4_mapped};

use crate::headers::{IPPROTO_TCP, Ipv4, Ipv6, Tcp};

/// Declares offsets that the loader fills in. Their defaults are never used: the loader insists on each.
macro_rules! offsets {
    ($($name:ident),+ $(,)?) => { $(
        #[unsafe(no_mangle)]
        static $name: Global<u64> = Global::new(0);
    )+ };
}

offsets! {
    OFF_SKC_FAMILY, OFF_SKC_STATE, OFF_SKC_DADDR, OFF_SKC_RCV_SADDR, OFF_SKC_DPORT, OFF_SKC_NUM, OFF_SKC_V6_DADDR,
    OFF_SKC_V6_RCV_SADDR, OFF_SKC_NET, OFF_NET_INUM,
    OFF_SK_ERR, OFF_SKC_FLAGS, OFF_SK_SOCKET, OFF_SK_PROTOCOL,
    OFF_TCP_RCV_NXT, OFF_TCP_COPIED_SEQ, OFF_TCP_WRITE_SEQ, OFF_TCP_BYTES_RECEIVED, OFF_TCP_BYTES_SENT,
    OFF_TCP_LSNDTIME, OFF_ICSK_LRCVTIME, OFF_TCP_CLOCK, OFF_TCP_SND_UNA, OFF_TCP_RCV_WND, OFF_TCP_RCV_WUP,
    OFF_TCP_REPAIR, OFF_SK_ACK_BACKLOG, OFF_SK_MAX_ACK_BACKLOG,
    OFF_TASK_FLAGS, OFF_TASK_EXIT_CODE, OFF_TASK_TGID, OFF_TASK_LEADER, OFF_TASK_COMM, OFF_TASK_PARENT,
    OFF_TASK_START, OFF_TASK_SIGNAL, OFF_TASK_MM, OFF_SIGNAL_LIVE, OFF_SIGNAL_PIDS, OFF_MM_EXE, OFF_FILE_INODE,
    OFF_SIGINFO_CODE,
    OFF_SKB_HEAD, OFF_SKB_NETWORK, OFF_SKB_DEV, OFF_DEV_NET, OFF_SKB_SK, OFF_SKB_LEN, OFF_SKB_DST, OFF_SKB_IIF,
    OFF_DST_DEV, OFF_DEV_INDEX, OFF_SOCKET_INODE, OFF_INODE_INO,
}

/// The bit of `tcp_sock.repair` in its byte.
#[unsafe(no_mangle)]
static REPAIR_BIT: Global<u8> = Global::new(0);

/// Index of the session in `signal_struct.pids`.
const PIDTYPE_SID: u64 = 3;
pub const AF_INET6: u16 = 10;
/// Bit of `sk_flags` (`enum sock_flags`; second since long before 5.10).
const SOCK_DONE: u64 = 1;

/// A field of an object whose type the verifier knows (a BTF pointer): a plain load.
///
/// # Safety
/// `base` is a BTF pointer of the type that `offset` belongs to.
#[inline(always)]
unsafe fn field<T: Copy>(base: *const c_void, offset: &Global<u64>) -> T {
    // SAFETY: the verifier checks type and bounds; a fault on a stale pointer reads as zero.
    unsafe { core::ptr::read_volatile(base.byte_add(offset.load() as usize).cast::<T>()) }
}

/// Reads kernel memory at an address that the verifier knows nothing of. `None` on a fault.
#[inline(always)]
pub fn probe<T: Copy + Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper checks the address itself and writes at most size_of::<T>() bytes into `value`.
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, address as *const c_void) };
    (failed == 0).then_some(value)
}

#[inline(always)]
fn probe_field<T: Copy + Default>(base: u64, offset: &Global<u64>) -> Option<T> {
    if base == 0 { None } else { probe(base.wrapping_add(offset.load())) }
}

/// The same, zero on a fault: the helper leaves zeros, and the verifier one path.
#[inline(always)]
fn read_field<T: Copy + Default>(base: u64, offset: &Global<u64>) -> T {
    let mut value = T::default();
    let from = base.wrapping_add(offset.load()) as *const c_void;
    // SAFETY: as in `probe`.
    let _zero_on_fault = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from) };
    value
}

/// An address as a number to calculate with. The verifier forbids that with what it knows for a pointer, except that it takes
/// the negation of one for a number, of which it knows nothing.
#[inline(always)]
pub fn number<T>(pointer: *const T) -> u64 {
    let mut number = pointer as u64;
    // SAFETY: changes one register.
    unsafe { core::arch::asm!("{0} = -{0}", inout(reg) number, options(pure, nomem, nostack)) }
    number.wrapping_neg()
}

/// A socket, and whose it is.
pub trait Identity {
    /// Its key in the maps.
    fn key(&self) -> u64;
    /// What [`tracer_common::Conn::peer`] keeps.
    fn peer(&self) -> u64;
}

#[inline(always)]
fn peer(port: u16, address: u32) -> u64 {
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

/// What a look at a connection reads, however its socket is reached.
pub trait Look {
    fn write_seq(&self) -> u32;
    fn snd_una(&self) -> u32;
    fn rcv_nxt(&self) -> u32;
    fn copied_seq(&self) -> u32;
    /// The receive window as the edge knows it, in bytes.
    fn window(&self) -> u32;
    fn bytes_received(&self) -> u64;
    fn bytes_sent(&self) -> u64;
    fn lrcvtime(&self) -> u32;
    fn lsndtime(&self) -> u32;
    fn err(&self) -> u32;
    /// Whether a process holds the socket.
    fn accepted(&self) -> bool;
    fn peer_is_done(&self) -> bool;
}

/// `tcp_receive_window()` of the kernel.
#[inline(always)]
fn window(wup: u32, wnd: u32, rcv_nxt: u32) -> u32 {
    let left = wup.wrapping_add(wnd).wrapping_sub(rcv_nxt);
    if left > 1 << 30 { 0 } else { left }
}

/// A socket whose type the verifier knows, with its TCP part.
pub struct TypedSock {
    pub sk: Sock,
    pub tcp: TcpSock,
}

impl Look for TypedSock {
    #[inline(always)]
    fn write_seq(&self) -> u32 {
        self.tcp.write_seq()
    }

    #[inline(always)]
    fn snd_una(&self) -> u32 {
        // SAFETY: a BTF pointer to struct tcp_sock.
        unsafe { field(self.tcp.0, &OFF_TCP_SND_UNA) }
    }

    #[inline(always)]
    fn rcv_nxt(&self) -> u32 {
        self.tcp.rcv_nxt()
    }

    #[inline(always)]
    fn copied_seq(&self) -> u32 {
        self.tcp.copied_seq()
    }

    #[inline(always)]
    fn window(&self) -> u32 {
        // SAFETY: as above.
        let (wup, wnd) = unsafe { (field(self.tcp.0, &OFF_TCP_RCV_WUP), field(self.tcp.0, &OFF_TCP_RCV_WND)) };
        window(wup, wnd, self.rcv_nxt())
    }

    #[inline(always)]
    fn bytes_received(&self) -> u64 {
        self.tcp.bytes_received()
    }

    #[inline(always)]
    fn bytes_sent(&self) -> u64 {
        self.tcp.bytes_sent()
    }

    #[inline(always)]
    fn lrcvtime(&self) -> u32 {
        self.tcp.lrcvtime()
    }

    #[inline(always)]
    fn lsndtime(&self) -> u32 {
        self.tcp.lsndtime()
    }

    #[inline(always)]
    fn err(&self) -> u32 {
        self.sk.err()
    }

    #[inline(always)]
    fn accepted(&self) -> bool {
        self.sk.socket() != 0
    }

    #[inline(always)]
    fn peer_is_done(&self) -> bool {
        self.sk.peer_is_done()
    }
}

/// A socket known by its address alone: read with checked copies, zero where it is gone.
#[derive(Clone, Copy)]
pub struct RawSock(pub u64);

impl RawSock {
    #[inline(always)]
    pub fn state(self) -> Option<u8> {
        probe_field(self.0, &OFF_SKC_STATE)
    }

    #[inline(always)]
    fn word(self, offset: &Global<u64>) -> u32 {
        read_field(self.0, offset)
    }
}

impl Identity for RawSock {
    #[inline(always)]
    fn key(&self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn peer(&self) -> u64 {
        peer(read_field(self.0, &OFF_SKC_DPORT), self.word(&OFF_SKC_DADDR))
    }
}

impl Look for RawSock {
    #[inline(always)]
    fn write_seq(&self) -> u32 {
        self.word(&OFF_TCP_WRITE_SEQ)
    }

    #[inline(always)]
    fn snd_una(&self) -> u32 {
        self.word(&OFF_TCP_SND_UNA)
    }

    #[inline(always)]
    fn rcv_nxt(&self) -> u32 {
        self.word(&OFF_TCP_RCV_NXT)
    }

    #[inline(always)]
    fn copied_seq(&self) -> u32 {
        self.word(&OFF_TCP_COPIED_SEQ)
    }

    #[inline(always)]
    fn window(&self) -> u32 {
        window(self.word(&OFF_TCP_RCV_WUP), self.word(&OFF_TCP_RCV_WND), self.rcv_nxt())
    }

    #[inline(always)]
    fn bytes_received(&self) -> u64 {
        read_field(self.0, &OFF_TCP_BYTES_RECEIVED)
    }

    #[inline(always)]
    fn bytes_sent(&self) -> u64 {
        read_field(self.0, &OFF_TCP_BYTES_SENT)
    }

    #[inline(always)]
    fn lrcvtime(&self) -> u32 {
        self.word(&OFF_ICSK_LRCVTIME)
    }

    #[inline(always)]
    fn lsndtime(&self) -> u32 {
        self.word(&OFF_TCP_LSNDTIME)
    }

    #[inline(always)]
    fn err(&self) -> u32 {
        self.word(&OFF_SK_ERR)
    }

    #[inline(always)]
    fn accepted(&self) -> bool {
        read_field::<u64>(self.0, &OFF_SK_SOCKET) != 0
    }

    #[inline(always)]
    fn peer_is_done(&self) -> bool {
        read_field::<u64>(self.0, &OFF_SKC_FLAGS) & 1 << SOCK_DONE != 0
    }
}

/// Where a packet's route leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To this host.
    Own,
    /// To another, or to a container.
    Onward,
}

/// Says of a route's address that the packet holds no reference to it.
const DST_NOREF: u64 = 1;

/// Index of every namespace's loopback device.
const LOOPBACK: u32 = 1;

/// A `struct sk_buff *` argument of a BTF tracepoint, not null.
#[derive(Clone, Copy)]
pub struct Skb(*const c_void);

impl Skb {
    #[inline(always)]
    pub fn new(pointer: *const c_void) -> Option<Self> {
        if pointer.is_null() { None } else { Some(Self(pointer)) }
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn len(self) -> u32 {
        // SAFETY: a BTF pointer to struct sk_buff.
        unsafe { field(self.0, &OFF_SKB_LEN) }
    }

    /// The address of its socket; 0 where it has none.
    #[inline(always)]
    pub fn socket(self) -> u64 {
        // SAFETY: as above.
        number(unsafe { field::<*const c_void>(self.0, &OFF_SKB_SK) })
    }

    /// Where its route leads. `None`: none was chosen yet, as before prerouting.
    #[inline(always)]
    pub fn route(self) -> Option<Route> {
        // SAFETY: as above.
        let (route, device) =
            unsafe { (field::<u64>(self.0, &OFF_SKB_DST), field::<*const c_void>(self.0, &OFF_SKB_DEV)) };
        if route == 0 {
            return None;
        }
        let leads_to: u64 = read_field(route & !DST_NOREF, &OFF_DST_DEV);
        // A route to this host itself leads to its loopback, or to the routing domain (VRF) that the packet is already in.
        let is_own = leads_to == number(device) || read_field::<u32>(leads_to, &OFF_DEV_INDEX) == LOOPBACK;
        Some(if is_own { Route::Own } else { Route::Onward })
    }

    /// Whether it came from a device: it is not of this host's making.
    #[inline(always)]
    pub fn came_in(self) -> bool {
        // SAFETY: as above.
        unsafe { field::<u32>(self.0, &OFF_SKB_IIF) != 0 }
    }
}

/// A `struct task_struct`, by address; read with checked copies, since the current task comes as a plain number.
#[derive(Clone, Copy)]
pub struct TaskRef(pub u64);

impl TaskRef {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper has no preconditions.
        Self(unsafe { bpf_get_current_task() })
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        read_field(self.0, &OFF_TASK_TGID)
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        read_field(self.0, &OFF_TASK_FLAGS)
    }

    /// The thread-group leader.
    #[inline(always)]
    pub fn leader(self) -> Self {
        Self(read_field(self.0, &OFF_TASK_LEADER))
    }

    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(read_field(self.0, &OFF_TASK_PARENT))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        read_field(self.0, &OFF_TASK_COMM)
    }

    /// Start of the process, boot-time nanoseconds.
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        read_field(self.0, &OFF_TASK_START)
    }

    /// Threads of the process that still live.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        let signal = read_field(self.0, &OFF_TASK_SIGNAL);
        read_field(signal, &OFF_SIGNAL_LIVE)
    }

    /// The session, as an address to compare.
    #[inline(always)]
    pub fn session(self) -> u64 {
        let signal: u64 = read_field(self.0, &OFF_TASK_SIGNAL);
        probe(signal.wrapping_add(OFF_SIGNAL_PIDS.load()).wrapping_add(PIDTYPE_SID * 8)).unwrap_or(0)
    }

    /// The executable's inode, as an address to compare; 0 where there is none.
    #[inline(always)]
    pub fn executable(self) -> u64 {
        let mm = read_field(self.0, &OFF_TASK_MM);
        let file = read_field(mm, &OFF_MM_EXE);
        read_field(file, &OFF_FILE_INODE)
    }

    /// What a record says of a task; the OOM mark is for the caller.
    #[inline(always)]
    pub fn describe(self) -> Task {
        let leader = self.leader();
        Task {
            tgid: self.tgid(),
            flags: self.flags(),
            exit_code: read_field(self.0, &OFF_TASK_EXIT_CODE),
            oom: 0,
            start_ns: leader.start_ns(),
            comm: leader.comm(),
        }
    }
}

/// `si_code` of a `struct kernel_siginfo *`; `None` for the kernel's special values (0: a process, 1: the kernel).
#[inline(always)]
pub fn siginfo_code(info: u64) -> Option<i32> {
    if info <= 1 { None } else { probe_field(info, &OFF_SIGINFO_CODE) }
}

/// A TCP segment, read from its headers; "peer" is where it comes from.
#[derive(Default)]
pub struct Segment {
    pub tuple: Tuple,
    pub seq: u32,
    pub acknowledged: u32,
    pub syn: bool,
    pub ack: bool,
    pub rst: bool,
    pub fin_or_rst: bool,
    pub payload: u32,
}

impl Segment {
    /// Reads the headers of a `struct sk_buff`. `None` where they are not those of plain TCP.
    #[inline(always)]
    pub fn of(skb: u64) -> Option<Self> {
        let mut segment = Self::default();
        segment.read(skb).map(|()| segment)
    }

    /// In the kernel a function of its own: the headers lie on its stack and not on its callers', who share 512 bytes.
    #[inline(never)]
    fn read(&mut self, skb: u64) -> Option<()> {
        let head: u64 = probe_field(skb, &OFF_SKB_HEAD)?;
        let network: u16 = probe_field(skb, &OFF_SKB_NETWORK)?;
        let at = head.wrapping_add(u64::from(network));
        let first: u8 = probe(at)?;
        let (transport, length) = if first >> 4 == 4 {
            let ip: Ipv4 = probe(at)?;
            if ip.protocol != IPPROTO_TCP {
                return None;
            }
            self.tuple.peer_addr = v4_mapped(ip.source.to_ne_bytes());
            self.tuple.local_addr = v4_mapped(ip.destination.to_ne_bytes());
            let header = u32::from(first & 0xf) * 4;
            (header, u32::from(u16::from_be(ip.length)).wrapping_sub(header))
        } else {
            let ip: Ipv6 = probe(at)?;
            // Extension headers: not ours.
            if first >> 4 != 6 || ip.next != IPPROTO_TCP {
                return None;
            }
            self.tuple.peer_addr = probe(at.wrapping_add(8))?;
            self.tuple.local_addr = probe(at.wrapping_add(24))?;
            (40, u32::from(u16::from_be(ip.length)))
        };
        let tcp: Tcp = probe(at.wrapping_add(u64::from(transport)))?;
        self.tuple.peer_port = u16::from_be(tcp.source);
        self.tuple.local_port = u16::from_be(tcp.destination);
        self.tuple.netns = netns(skb);
        self.seq = u32::from_be(tcp.seq);
        self.acknowledged = u32::from_be(tcp.acknowledged);
        self.syn = tcp.flags & 0x02 != 0;
        self.ack = tcp.flags & 0x10 != 0;
        self.rst = tcp.flags & 0x04 != 0;
        self.fin_or_rst = tcp.flags & 0x05 != 0;
        self.payload = length.saturating_sub(u32::from(tcp.words >> 4) * 4);
        Some(())
    }
}

/// The network namespace of a packet: its device's, or its socket's before it has a device. 0: unknown.
#[inline(always)]
fn netns(skb: u64) -> u32 {
    let device: u64 = read_field(skb, &OFF_SKB_DEV);
    let net: u64 = if device != 0 {
        read_field(device, &OFF_DEV_NET)
    } else {
        probe_field(read_field(skb, &OFF_SKB_SK), &OFF_SKC_NET).unwrap_or(0)
    };
    read_field(net, &OFF_NET_INUM)
}
