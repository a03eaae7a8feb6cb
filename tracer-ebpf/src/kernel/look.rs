//! The TCP state of a connection (sequence numbers, window, byte counts, times), read from its socket.
//!
//! A program reaches a socket in one of two ways. As an argument of a tracepoint it comes with a type that the
//! verifier knows ([`TypedSock`]: plain loads). As an address that a map holds it has none ([`RawSock`]: reads with
//! `bpf_probe_read_kernel`). [`Look`] is what both can read, so that the code above is written once.

use aya_ebpf::Global;

use super::{
    sock::{Identity, Sock, TcpSock, peer},
    *,
};

/// The fields of a TCP socket that the programs evaluate. Named as in `struct tcp_sock` where that has the field.
pub trait Look {
    fn write_seq(&self) -> u32;
    fn snd_una(&self) -> u32;
    fn rcv_nxt(&self) -> u32;
    fn copied_seq(&self) -> u32;
    /// The receive window last advertised to the edge, in bytes.
    fn window(&self) -> u32;
    fn bytes_received(&self) -> u64;
    fn bytes_sent(&self) -> u64;
    fn lrcvtime(&self) -> u32;
    fn lsndtime(&self) -> u32;
    fn err(&self) -> u32;
    /// Whether a process holds the socket: `accept()` has returned it and it is not closed.
    fn accepted(&self) -> bool;
    /// Whether the peer's FIN has arrived.
    fn peer_is_done(&self) -> bool;
    /// The window that the edge announced, in bytes.
    fn snd_wnd(&self) -> u32;
    /// `icsk_retransmits`: consecutive timeouts of the retransmission timer since `snd_una` last advanced. Probes of a
    /// shut window do not count. 0 on a kernel whose layout does not tell.
    fn retransmits(&self) -> u8;
    /// `icsk_rto`: the retransmission timer's current timeout, doubled at each retransmission, in jiffies.
    fn rto(&self) -> u32;
}

/// The kernel's `tcp_receive_window()`: what is left of the advertised window `wnd`, counted from `wup`.
#[inline(always)]
fn window(wup: u32, wnd: u32, rcv_nxt: u32) -> u32 {
    let left = wup.wrapping_add(wnd).wrapping_sub(rcv_nxt);
    if left > 1 << 30 { 0 } else { left }
}

/// A socket whose type the verifier knows, as `sock` and as `tcp_sock`.
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
        self.tcp.snd_una()
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
        window(self.tcp.rcv_wup(), self.tcp.rcv_wnd(), self.rcv_nxt())
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

    #[inline(always)]
    fn snd_wnd(&self) -> u32 {
        self.tcp.snd_wnd()
    }

    #[inline(always)]
    fn retransmits(&self) -> u8 {
        self.tcp.retransmits()
    }

    #[inline(always)]
    fn rto(&self) -> u32 {
        self.tcp.rto()
    }
}

/// A socket of which only the address is known. Reads can't fault; a field reads as zero where the memory is gone.
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

    #[inline(always)]
    fn snd_wnd(&self) -> u32 {
        self.word(&OFF_TCP_SND_WND)
    }

    #[inline(always)]
    fn retransmits(&self) -> u8 {
        if OFF_ICSK_RETRANSMITS.load() == 0 { 0 } else { read_field(self.0, &OFF_ICSK_RETRANSMITS) }
    }

    #[inline(always)]
    fn rto(&self) -> u32 {
        self.word(&OFF_ICSK_RTO)
    }
}
