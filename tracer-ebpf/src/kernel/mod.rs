//! Reads the kernel's own structures: sockets, packets, tasks. No other folder does.
//!
//! The layout of these structures differs between kernels. The loader looks each offset up in the running kernel's
//! BTF and stores it in a constant named `OFF_<structure>_<field>` before the programs are verified.
//!
//! There are two kinds of reads. [`field`] loads from a pointer whose type the verifier knows. [`probe`],
//! [`probe_field`] and [`read_field`] copy from a plain address with `bpf_probe_read_kernel`.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};

pub mod features;
pub mod look;
pub mod skb;
pub mod sock;
pub mod task;
pub mod unix;

/// Declares offsets that the loader sets.
macro_rules! offsets {
    ($($name:ident),+ $(,)?) => { $(
        #[unsafe(no_mangle)]
        static $name: Global<u64> = Global::new(0);
    )+ };
}

// The default 0 is never used: loading fails if one is not set.
offsets! {
    OFF_SKC_FAMILY, OFF_SKC_STATE, OFF_SKC_DADDR, OFF_SKC_RCV_SADDR, OFF_SKC_DPORT, OFF_SKC_NUM, OFF_SKC_V6_DADDR,
    OFF_SKC_V6_RCV_SADDR, OFF_SKC_NET, OFF_NET_INUM,
    OFF_SK_ERR, OFF_SKC_FLAGS, OFF_SK_SOCKET, OFF_SK_PROTOCOL,
    OFF_TCP_RCV_NXT, OFF_TCP_COPIED_SEQ, OFF_TCP_WRITE_SEQ, OFF_TCP_BYTES_RECEIVED, OFF_TCP_BYTES_SENT,
    OFF_TCP_LSNDTIME, OFF_ICSK_LRCVTIME, OFF_TCP_CLOCK, OFF_TCP_SND_UNA, OFF_TCP_RCV_WND, OFF_TCP_RCV_WUP,
    OFF_TCP_REPAIR, OFF_SK_ACK_BACKLOG, OFF_SK_MAX_ACK_BACKLOG,
    OFF_TASK_FLAGS, OFF_TASK_EXIT_CODE, OFF_TASK_TGID, OFF_TASK_PID, OFF_TASK_LEADER, OFF_TASK_COMM, OFF_TASK_PARENT,
    OFF_TASK_START, OFF_TASK_SIGNAL, OFF_TASK_BLOCKED, OFF_TASK_MM, OFF_SIGNAL_LIVE, OFF_SIGNAL_PIDS, OFF_MM_EXE,
    OFF_FILE_INODE, OFF_SIGINFO_CODE,
    OFF_SKB_HEAD, OFF_SKB_NETWORK, OFF_SKB_DEV, OFF_DEV_NET, OFF_SKB_SK, OFF_SKB_LEN, OFF_SKB_DST, OFF_SKB_IIF,
    OFF_DST_DEV, OFF_DEV_INDEX, OFF_SOCKET_INODE, OFF_INODE_INO,
}

// 0: this kernel's layout does not tell, and what depends on it is left out.
offsets! {
    OFF_ICSK_RETRANSMITS, OFF_ICSK_RTO, OFF_TCP_SND_WND, OFF_TREQ_RCV_ISN, OFF_IREQ_ACKED, OFF_ICSK_QLEN,
    OFF_NET_SYNCOOKIES, OFF_NET_MAX_SYN_BACKLOG, OFF_UNIX_PEER, OFF_SK_TYPE,
    OFF_UNIX_ADDR, OFF_UNIX_ADDRESS_NAME,
}

/// Mask of the bit-field `tcp_sock.repair` within the byte at `OFF_TCP_REPAIR`. Set by the loader.
#[unsafe(no_mangle)]
static REPAIR_BIT: Global<u8> = Global::new(0);

/// The same of `inet_request_sock.acked`, within the byte at `OFF_IREQ_ACKED`.
#[unsafe(no_mangle)]
static ACKED_BIT: Global<u8> = Global::new(0);

/// Number of the bit `SOCK_DONE` in `sk_flags`: the peer's FIN has arrived. (`enum sock_flags`; it has been the
/// second value since long before 5.10.)
const SOCK_DONE: u64 = 1;

/// Loads a field through a pointer whose type the verifier knows (a BTF pointer).
///
/// # Safety
/// `base` is a BTF pointer to the structure that `offset` belongs to.
#[inline(always)]
unsafe fn field<T: Copy>(base: *const c_void, offset: &Global<u64>) -> T {
    // SAFETY: the verifier checks type and bounds of the load; a load through a stale pointer reads as zero.
    unsafe { core::ptr::read_volatile(base.byte_add(offset.load() as usize).cast::<T>()) }
}

/// Copies a value from an address of which the verifier knows nothing. `None` if the address can't be read.
#[inline(always)]
pub fn probe<T: Copy + Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper checks the address itself and writes at most size_of::<T>() bytes into `value`.
    let failed =
        unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, address as *const c_void) };
    (failed == 0).then_some(value)
}

/// Copies a field of the structure at `base`. `None` if `base` is null or can't be read.
#[inline(always)]
fn probe_field<T: Copy + Default>(base: u64, offset: &Global<u64>) -> Option<T> {
    if base == 0 { None } else { probe(base.wrapping_add(offset.load())) }
}

/// Copies a field of the structure at `base`; zero if it can't be read. Cheaper than [`probe_field`]: the helper
/// fills in zeros itself, so that the verifier has one path to follow and not two.
#[inline(always)]
fn read_field<T: Copy + Default>(base: u64, offset: &Global<u64>) -> T {
    let mut value = T::default();
    let from = base.wrapping_add(offset.load()) as *const c_void;
    // SAFETY: the helper checks the address itself and writes at most size_of::<T>() bytes into `value`.
    let _zero_on_fault = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from) };
    value
}

/// Turns a pointer into a number, for comparing and hashing.
///
/// The verifier forbids arithmetic on what it knows to be a pointer, with one exception: it takes the negation of a
/// pointer for a number of unknown value. So this negates twice.
#[inline(always)]
pub fn number<T>(pointer: *const T) -> u64 {
    let mut number = pointer as u64;
    // SAFETY: the instruction changes the register `number` alone, and no memory.
    unsafe { core::arch::asm!("{0} = -{0}", inout(reg) number, options(pure, nomem, nostack)) }
    number.wrapping_neg()
}
