//! One virtual machine: started, read from, and ended in time.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::guest;
use crate::architecture::Architecture;
use crate::sh;

/// How the kernel is told to come up: fast, and to end rather than wait when something is wrong.
const COMMAND_LINE: &str = "loglevel=4 panic=-1 nokaslr mitigations=off audit=0 random.trust_cpu=on init_on_alloc=0 \
    rcupdate.rcu_expedited=1 rdinit=/init";

/// Copies by the byte are one emulated instruction for each. The allocator does without `cmpxchg16b` (141): with it 6.12
/// was once seen to lose its stack in QEMU 7.2. haproxy needs it.
const X86_64: Kind = Kind {
    program: "qemu-system-x86_64",
    options: &["-machine", "pc,nvdimm=on", "-cpu", "max,la57=off,erms=off,fsrm=off"],
    console: "console=ttyS0 tsc=reliable no_timer_check clearcpuid=141",
    job: &["-serial", "chardev:job"],
};

/// A processor that clouds have, and that signs no pointers: emulated, that takes long. The board has one serial port of
/// its own.
const AARCH64: Kind = Kind {
    program: "qemu-system-aarch64",
    options: &["-machine", "virt,gic-version=3", "-cpu", "neoverse-n1"],
    console: "console=ttyAMA0",
    job: &["-device", "pci-serial,chardev=job"],
};

/// What the machines of an architecture are.
struct Kind {
    program: &'static str,
    /// Board and processor.
    options: &'static [&'static str],
    /// For the kernel's command line: its console, and what else there is to say.
    console: &'static str,
    /// The port on which the job's output leaves.
    job: &'static [&'static str],
}

/// What a machine is made of.
pub(super) struct Machine<'a> {
    pub(super) architecture: Architecture,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Read-only disks, the root first.
    pub(super) disks: &'a [&'a Path],
    /// Where the kernel's console is kept.
    pub(super) console: &'a Path,
    pub(super) memory_mib: u64,
    /// More words for the kernel's command line.
    pub(super) append: &'a str,
}

/// Whether the machine ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Itself,
    OutOfTime,
}

impl Machine<'_> {
    /// Runs it, and hands on each line that its job writes. It is gone when this returns.
    pub(super) fn run(&self, limit: Duration, mut line: impl FnMut(&str)) -> Result<End> {
        let mut command = self.command()?;
        let child = command.spawn().with_context(|| format!("starting `{}`", sh::show(&command)))?;
        let mut running = Running(child);
        let output = running.0.stdout.take().context("a machine without output")?;
        let pid = running.0.id();
        thread::scope(|scope| {
            let (done, wait) = mpsc::channel::<()>();
            let watch = scope.spawn(move || match wait.recv_timeout(limit) {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    lab::procs::signal(pid, rustix::process::Signal::KILL);
                    End::OutOfTime
                }
                _ => End::Itself,
            });
            for bytes in BufReader::new(output).split(b'\n') {
                let bytes = bytes.context("reading from a machine")?;
                line(String::from_utf8_lossy(&bytes).trim_end_matches('\r'));
            }
            drop(done);
            running.0.wait().context("waiting for a machine")?;
            Ok(watch.join().unwrap_or(End::Itself))
        })
    }

    fn command(&self) -> Result<Command> {
        let kind = match self.architecture {
            Architecture::X86_64 => X86_64,
            Architecture::Aarch64 => AARCH64,
        };
        // It dies with the thread that waits for it, whatever becomes of that.
        let mut command = sh::command("setpriv", &["--pdeathsig", "KILL", kind.program]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        // Time passes with the instructions, and at once where all sleep: what a guest sees does not depend on this
        // host.
        command.args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]);
        command.args(kind.options);
        command.args(["-m", &format!("{}M,slots=4,maxmem=16G", self.memory_mib)]);
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        command.args(["-append", &format!("{COMMAND_LINE} {} {} -- {}", kind.console, self.append, guest::COMMAND)]);
        for (number, disk) in self.disks.iter().enumerate() {
            self.disk(&mut command, number, disk)?;
        }
        command.arg("-serial").arg(format!("file:{}", self.console.display()));
        command.args(["-chardev", "stdio,id=job,signal=off"]).args(kind.job);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command)
    }

    /// A disk that is memory to the guest. On ARM that takes a firmware: there it is a device.
    fn disk(&self, command: &mut Command, number: usize, disk: &Path) -> Result<()> {
        let place = disk.display();
        if self.architecture == Architecture::Aarch64 {
            command.arg("-drive").arg(format!("if=none,id=m{number},file={place},format=raw,readonly=on"));
            command.args(["-device", &format!("virtio-blk-pci,drive=m{number}")]);
            return Ok(());
        }
        let size = std::fs::metadata(disk).with_context(|| format!("looking at {place}"))?.len();
        command
            .arg("-object")
            .arg(format!("memory-backend-file,id=m{number},mem-path={place},size={size},share=off,readonly=on"));
        command.args(["-device", &format!("nvdimm,id=d{number},memdev=m{number},unarmed=on")]);
        Ok(())
    }
}

/// A machine's process; killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
