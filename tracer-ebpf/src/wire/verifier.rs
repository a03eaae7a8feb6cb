//! Numbers as the kernel's verifier is to see them.

/// Always 0, which the verifier does not know.
#[unsafe(no_mangle)]
static mut ZERO: u64 = 0;

/// The same number, of which the compiler knows nothing: keeps it from checking one register and using another, whose
/// bounds the verifier (6.18) then does not know.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: moves a register onto itself. (Without an instruction of its own, two lines of debug information would share
    // an offset, which the kernel refuses.)
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) }
    value
}

/// The same number, of which the verifier knows nothing either: it follows what comes after once, where it would for each
/// value that it knows, and each step of a loop like the one before.
#[inline(always)]
pub fn unknown(value: u64) -> u64 {
    // SAFETY: nobody writes it.
    opaque(value) ^ unsafe { core::ptr::read_volatile(&raw const ZERO) }
}

/// A number of 4 or 8 bytes in a packet or in a map's value, wherever it begins. One instruction, where the compiler, which
/// knows of no unaligned loads for this target, would take one for each byte: the kernel allows them on machines that have
/// them, as all do that this is built for.
///
/// # Safety
/// The bytes are there, and the verifier knows.
#[inline(always)]
pub unsafe fn unaligned<T: Unaligned>(from: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { T::load(from) }
}

/// A number that [`unaligned`] loads.
pub trait Unaligned: Sized {
    /// # Safety
    /// As for [`unaligned`].
    unsafe fn load(from: *const Self) -> Self;
}

impl Unaligned for u32 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> Self {
        let value: u64;
        // SAFETY: the caller's promise.
        unsafe { core::arch::asm!("{0} = *(u32 *)({1} + 0)", out(reg) value, in(reg) from, options(readonly, nostack)) }
        value as Self
    }
}

impl Unaligned for u64 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> Self {
        let value: Self;
        // SAFETY: as above.
        unsafe { core::arch::asm!("{0} = *(u64 *)({1} + 0)", out(reg) value, in(reg) from, options(readonly, nostack)) }
        value
    }
}

/// `len`, which is not 0, or `most`. Before 6.8 the verifier does not learn from a comparison with 0 that a number is at
/// least 1, as a length must be.
#[inline(always)]
pub fn up_to(len: u32, most: u64) -> u64 {
    let mut less = opaque(u64::from(len).wrapping_sub(1));
    if less > most - 1 {
        less = most - 1;
    }
    less + 1
}
