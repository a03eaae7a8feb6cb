//! Attaches a loaded program that is known by its descriptor alone. aya attaches only what it loaded itself.

#![allow(unsafe_code, reason = "no crate has a safe call for these two system calls and one request")]

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use super::form::Form;

/// Numbers of include/uapi/linux/bpf.h.
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_TRACE_UPROBE_MULTI: u32 = 48;
/// Numbers of include/uapi/linux/perf_event.h.
const PERF_FLAG_FD_CLOEXEC: libc::c_long = 8;
const PERF_EVENT_IOC_ENABLE: u32 = 0x2400;
const PERF_EVENT_IOC_SET_BPF: u32 = 0x4004_2408;
/// Names the kind of perf event that is a uprobe.
const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// `bpf_attr.link_create` with `uprobe_multi` (Linux 6.6).
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    cnt: u32,
    multi_flags: u32,
    /// 0: every process.
    pid: u32,
    rest: u32,
}

/// `perf_event_attr` in its second size (72 bytes, Linux 2.6.33), which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    /// Of a uprobe: the address of the path.
    config1: u64,
    /// Of a uprobe: the offset in the file.
    config2: u64,
}

const _: () = assert!(size_of::<LinkCreate>() == 64 && size_of::<PerfEvent>() == 72);

/// Attaches `program` at this offset of a file, for every process that maps it. The probe is there for as long as what
/// this returns is open.
pub(super) fn attach(form: Form, program: BorrowedFd<'_>, file: BorrowedFd<'_>, at: u64) -> io::Result<OwnedFd> {
    // The kernel finds this very file, whatever its name stands for by now.
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    match form {
        Form::Multi => multi(program, &path, at),
        Form::Single => single(program, &path, at),
    }
}

fn multi(program: BorrowedFd<'_>, path: &CString, at: u64) -> io::Result<OwnedFd> {
    let attr = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_TRACE_UPROBE_MULTI,
        path: path.as_ptr().expose_provenance() as u64,
        offsets: (&raw const at).expose_provenance() as u64,
        cnt: 1,
        ..LinkCreate::default()
    };
    // SAFETY: the kernel reads `attr`, of the size that is given, and what its two addresses lead to: a path that ends
    // with NUL and one offset, both alive until the call returns.
    let descriptor = unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attr, size_of::<LinkCreate>()) };
    owned(descriptor)
}

fn single(program: BorrowedFd<'_>, path: &CString, at: u64) -> io::Result<OwnedFd> {
    let kind = fs::read_to_string(UPROBE_TYPE)?;
    let attr = PerfEvent {
        kind: kind.trim().parse().map_err(io::Error::other)?,
        size: size_of::<PerfEvent>() as u32,
        config1: path.as_ptr().expose_provenance() as u64,
        config2: at,
        ..PerfEvent::default()
    };
    let (every_process, cpu, no_group): (libc::pid_t, libc::c_int, libc::c_int) = (-1, 0, -1);
    // SAFETY: the kernel reads `attr`, whose size stands in it, and the path, which ends with NUL; both are alive until
    // the call returns. A uprobe that is no one process' is hit on every CPU, whichever is named.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, every_process, cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    };
    let event = owned(descriptor)?;
    request(&event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd())?;
    request(&event, PERF_EVENT_IOC_ENABLE, 0)?;
    Ok(event)
}

fn request(event: &OwnedFd, request: u32, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: both requests take a number and no address. libc's type for the request differs between C libraries.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor =
        i32::try_from(descriptor).ok().filter(|number| *number >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
