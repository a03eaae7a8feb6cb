//! Numbers in the form that the verifier needs. It follows a program with what it knows about each register; these
//! functions make it know more, or less, without a change of the value. Outside BPF, where the tests of the parsers
//! run, there is no verifier, and they only return the value.

/// Always 0. The verifier can't know that, since it lies in writable memory.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
static mut ZERO: u64 = 0;

/// Returns `value`, and hides from the compiler where it comes from. Without this the compiler may check one
/// register and then use another that holds the same number, whose bounds the verifier (6.18) does not know.
#[inline(always)]
#[cfg_attr(not(target_arch = "bpf"), expect(unused_mut, reason = "only the instruction changes it"))]
pub fn opaque(mut value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the instruction moves a register onto itself. (It must be there: without it two lines of debug
    // information would have the same offset, which the kernel refuses.)
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack))
    }
    value
}

/// Returns `value`, and hides it from the verifier, too. The verifier follows what comes after a known number once
/// for each of its values; after an unknown one it follows it once. So each step of a loop looks to it like the one
/// before.
#[inline(always)]
pub fn unknown(value: u64) -> u64 {
    // SAFETY: nobody writes `ZERO`, so that no reference or other access conflicts with this read.
    opaque(value) ^ unsafe { core::ptr::read_volatile(&raw const ZERO) }
}

/// Loads a number of 4 or 8 bytes from a packet or a map's value, at any alignment.
///
/// In one instruction: the kernel allows unaligned loads on machines that have them, as all do that this is built
/// for. The compiler knows of none for this target and would load each byte on its own.
///
/// # Safety
/// The bytes at `from` may be read, and the verifier has seen the check of their bounds.
#[inline(always)]
pub unsafe fn unaligned<T: Unaligned>(from: *const T) -> T {
    // SAFETY: the bytes at `from` may be read, as the contract of this function requires.
    unsafe { T::load(from) }
}

/// A type of number that [`unaligned`] can load.
pub trait Unaligned: Sized {
    /// Loads the number in one instruction.
    ///
    /// # Safety
    /// The bytes at `from` may be read, and the verifier has seen the check of their bounds.
    unsafe fn load(from: *const Self) -> Self;
}

#[cfg(target_arch = "bpf")]
impl Unaligned for u32 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> Self {
        let value: u64;
        // SAFETY: the bytes at `from` may be read, as the contract of this function requires.
        unsafe { core::arch::asm!("{0} = *(u32 *)({1} + 0)", out(reg) value, in(reg) from, options(readonly, nostack)) }
        value as Self
    }
}

#[cfg(target_arch = "bpf")]
impl Unaligned for u64 {
    #[inline(always)]
    unsafe fn load(from: *const Self) -> Self {
        let value: Self;
        // SAFETY: the bytes at `from` may be read, as the contract of `Unaligned::load` requires.
        unsafe { core::arch::asm!("{0} = *(u64 *)({1} + 0)", out(reg) value, in(reg) from, options(readonly, nostack)) }
        value
    }
}

#[cfg(not(target_arch = "bpf"))]
impl<T: Copy> Unaligned for T {
    unsafe fn load(from: *const Self) -> Self {
        // SAFETY: the bytes at `from` may be read, as the contract of `Unaligned::load` requires.
        unsafe { from.read_unaligned() }
    }
}

/// Returns `len`, or `most` if that is less. `len` must not be 0.
///
/// The helpers demand a length of at least 1. Before 6.8 the verifier does not learn that from a comparison with 0,
/// so this bounds `len - 1` and adds 1.
#[inline(always)]
pub fn up_to(len: u32, most: u64) -> u64 {
    let mut less = opaque(u64::from(len).wrapping_sub(1));
    if less > most - 1 {
        less = most - 1;
    }
    less + 1
}

/// The smaller of two numbers, without a branch: the verifier follows each branch in each step of a loop.
#[inline(always)]
pub fn least(one: u32, other: u32) -> u32 {
    let more = i64::from(one) - i64::from(other);
    // All ones where `one` is smaller.
    let is_less = opaque((more >> 63) as u64) as i64;
    (i64::from(other) + (more & is_less)) as u32
}

/// All ones if the number is 0, else 0; without a branch.
#[inline(always)]
pub fn if_zero(number: u32) -> u32 {
    opaque(((i64::from(number) - 1) >> 63) as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_without_a_branch() {
        for (one, other) in [(0, 0), (0, 1), (7, 3), (u32::MAX, 0), (u32::MAX, u32::MAX - 1)] {
            assert_eq!(least(one, other), one.min(other));
            assert_eq!(least(other, one), one.min(other));
        }
        assert_eq!([0, 1, 2, u32::MAX].map(if_zero), [u32::MAX, 0, 0, 0]);
    }
}
