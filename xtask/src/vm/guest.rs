//! Process 1 of a guest: loads what the root needs, mounts it, runs the job, says how that ended, and switches off.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{Resource, Rlimit, WaitOptions, chroot, setrlimit, wait};
use rustix::system::{RebootCommand, finit_module, reboot};

use super::disk::{self, Disk};
use super::job::{GUEST, JOB, MODULES, Step};
use lab::wait;

/// The first argument that makes an executable process 1.
pub(super) const COMMAND: &str = "vm-guest";
/// Where the job's output goes; the first serial port is the kernel's console, which is no `ttyS` on ARM.
const OUTPUT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyS0" } else { "/dev/ttyS1" };
/// How long a disk may take to appear.
const DISK: Duration = Duration::from_secs(10);
/// File systems that are there before the root is.
const EARLY: [Place; 3] = [("devtmpfs", "/dev", ""), ("proc", "/proc", ""), ("sysfs", "/sys", "")];
/// File systems that the root wants to have.
const LATE: [Place; 7] = [
    ("tmpfs", "/run", "mode=0755"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("devpts", "/dev/pts", ""),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("bpf", "/sys/fs/bpf", ""),
];

/// Open files, as a distribution's own start-up allows them.
const FILES: Rlimit = Rlimit { current: Some(1 << 16), maximum: Some(1 << 16) };

/// A file system's kind, its place and its options.
type Place = (&'static str, &'static str, &'static str);

/// Runs the guest if the command line asks for it: every executable that a guest starts with calls this first.
#[must_use]
pub fn main_if_asked() -> Option<Result<()>> {
    (std::env::args().nth(1).as_deref() == Some(COMMAND) && std::process::id() == 1).then(run)
}

/// Ends with the guest. An error reaches the host as the job's end.
fn run() -> Result<()> {
    let end = start().and_then(|()| work());
    let end = match end {
        Ok(status) => Step::Ended(status.code().unwrap_or(128 + status.signal().unwrap_or(0))),
        Err(error) => Step::Broken(format!("{error:#}")),
    };
    if let Err(error) = say(&end) {
        eprintln!("{end}\n{error:#}");
    }
    rustix::fs::sync();
    // The host has forbidden to come up again: a restart is the end, and needs no power management.
    reboot(RebootCommand::Restart).context("switching off")
}

/// Comes up to the point where the root is `/`.
fn start() -> Result<()> {
    setrlimit(Resource::Nofile, FILES).context("raising the limit of open files")?;
    EARLY.iter().try_for_each(|place| mount_at(Path::new("/"), place))?;
    for path in read_lines(MODULES)? {
        load(&path)?;
    }
    root()?;
    if cfg!(target_arch = "aarch64") {
        read_all(Path::new("/"))?;
    }
    LATE.iter().try_for_each(|place| mount_at(Path::new("/"), place))?;
    let loopback = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("starting ip")?;
    ensure!(loopback.success(), "loopback did not come up");
    Ok(())
}

/// Mounts one below `root`; a kernel without that kind does without.
fn mount_at(root: &Path, &(kind, place, options): &Place) -> Result<()> {
    let target = root.join(place.trim_start_matches('/'));
    fs::create_dir_all(&target).ok();
    let options = std::ffi::CString::new(options)?;
    match mount(kind, &target, kind, MountFlags::empty(), options.as_c_str()) {
        Err(rustix::io::Errno::NODEV) => Ok(()),
        done => done.with_context(|| format!("mounting {kind} on {}", target.display())),
    }
}

fn load(path: &str) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {path}"))?;
    match finit_module(&file, c"", 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("loading {path}")),
    }
}

/// Puts the root together: the image below, memory above, the kernel's modules and the host's files in their places.
fn root() -> Result<()> {
    let [image, modules, above, new] = ["/image", "/modules", "/above", "/new"].map(Path::new);
    for dir in [image, modules, above, new] {
        fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    mount_disk(Disk::Root, image)?;
    mount_disk(Disk::Modules, modules)?;
    mount("tmpfs", above, "tmpfs", MountFlags::empty(), c"mode=0755").context("mounting the writable layer")?;
    fs::create_dir(above.join("upper"))?;
    fs::create_dir(above.join("work"))?;
    let layers: &CStr = c"lowerdir=/image,upperdir=/above/upper,workdir=/above/work";
    mount("overlay", new, "overlay", MountFlags::empty(), layers).context("mounting the root")?;
    for (from, to) in [("/modules", "lib/modules"), (GUEST, GUEST.trim_start_matches('/'))] {
        let to = new.join(to);
        fs::create_dir_all(&to)?;
        mount_bind(from, &to).with_context(|| format!("binding {from} to {}", to.display()))?;
    }
    for (_, place, _) in EARLY {
        let to = new.join(place.trim_start_matches('/'));
        fs::create_dir_all(&to)?;
        mount_move(place, &to).with_context(|| format!("moving {place}"))?;
    }
    // As switch_root does: an initramfs can't be pivoted away.
    std::env::set_current_dir(new)?;
    mount_move(".", "/").context("moving the root to its place")?;
    chroot(".").context("entering the root")?;
    std::env::set_current_dir("/").context("going to the root")
}

/// Reads every file once, so that the kernel has them in memory: time leaps while a disk is read from and all sleep.
fn read_all(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_other = ["/dev", "/proc", "/sys"].iter().any(|place| path == Path::new(place));
        if kind.is_dir() && !is_other {
            read_all(&path)?;
        } else if kind.is_file() {
            let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
            io::copy(&mut file, &mut io::sink()).with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(())
}

fn mount_disk(disk: Disk, place: &Path) -> Result<()> {
    let device = wait::until(&format!("the disk {disk:?} to appear"), DISK, || Ok(find(disk)))?;
    mount(&device, place, "ext4", MountFlags::RDONLY, c"").with_context(|| format!("mounting {}", device.display()))
}

/// The device with this label: devices are numbered as they come up, in any order.
fn find(disk: Disk) -> Option<PathBuf> {
    let devices = fs::read_dir("/dev").ok()?.flatten().map(|entry| entry.path());
    let is_disk = |path: &PathBuf| ["/dev/pmem", "/dev/vd"].iter().any(|name| path.to_string_lossy().starts_with(name));
    devices.filter(is_disk).find(|path| {
        let mut label = [0; disk::LABEL_LENGTH];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut label, disk::LABEL_AT));
        read.is_ok() && label == disk.label()
    })
}

/// Runs the job to its end, and buries whatever orphans it leaves meanwhile.
fn work() -> Result<ExitStatus> {
    say(&Step::Started)?;
    let output = open_output()?;
    let child = Command::new("/bin/sh")
        .arg(JOB)
        .env_clear()
        .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("starting the job")?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == child.id() => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => bail!("waiting for the job: {error}"),
        }
    }
}

fn say(step: &Step) -> Result<()> {
    writeln!(open_output()?, "{step}").with_context(|| format!("writing to {OUTPUT}"))
}

fn open_output() -> Result<File> {
    OpenOptions::new().write(true).open(OUTPUT).with_context(|| format!("opening {OUTPUT}"))
}

fn read_lines(path: &str) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}
