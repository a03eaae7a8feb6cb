//! The only folder that reads kernel memory. Every offset comes from the running kernel's BTF, at load.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};

pub mod features;
pub mod look;
pub mod skb;
pub mod sock;
pub mod task;

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
