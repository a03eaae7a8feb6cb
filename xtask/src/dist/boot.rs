//! The .deb's service under a real systemd: a virtual machine boots a Debian 12 in which the package is installed, and
//! a script in it asks the service and systemd.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::root::Root;
use super::{Release, find};
use lab::procs;

use crate::sh;

/// Everything is emulated.
const LIMIT: Duration = Duration::from_secs(900);
/// What a script says that came to its end.
const END: &str = "trial: all passed";
/// How the kernel is told to come up; a service may take longer to start than on hardware.
const COMMAND_LINE: &str =
    "root=/dev/vda rw console=ttyS0 quiet systemd.unit=graphical.target systemd.default_timeout_start_sec=600";
/// Loopback plays the edge, so that a refused connection on it is a failure.
const CONFIG: &str = "extra-range = [\"127.0.0.0/8\"]\n";
/// Runs the script once everything else is up, on the second serial port, and switches off.
const JOB: &str = "[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /trial.sh
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
[Install]
WantedBy=graphical.target
";

pub(super) fn run(release: &Release) -> Result<()> {
    sh::heading("trial under systemd, in a virtual machine");
    let cache = release.dir.with_file_name("trial");
    let (image, kernel, initrd) = prepare(release, &cache)?;
    let since = Instant::now();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"]);
    command.args(["-display", "none", "-accel", "tcg,thread=multi", "-machine", "pc", "-cpu", "max", "-smp", "2"]);
    command.args(["-m", "1536", "-append", COMMAND_LINE]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    command.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", image.display()));
    command.arg("-serial").arg(format!("file:{}", cache.join("console").display()));
    command.args(["-chardev", "stdio,id=job,signal=off", "-serial", "chardev:job"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting qemu")?;
    let mut machine = Machine(child);
    let pid = machine.0.id();
    let output = machine.0.stdout.take().context("a machine without output")?;
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let clock = std::thread::spawn(move || {
        if wait.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            procs::signal(pid, rustix::process::Signal::KILL);
        }
    });
    let mut ended = false;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading from the machine")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        println!("{:>4.0} s  {line}", since.elapsed().as_secs_f64());
        ended |= line == END;
    }
    drop(done);
    let _ = clock.join();
    ensure!(ended, "the trial did not come to its end; the console: {}", cache.join("console").display());
    fs::remove_file(image).context("removing the machine's disk")
}

/// A disk with the package installed; the kernel and what it boots from.
fn prepare(release: &Release, cache: &Path) -> Result<(std::path::PathBuf, std::path::PathBuf, std::path::PathBuf)> {
    let root = Root::new(cache)?;
    fs::copy(release.package("deb")?, root.at("/package")).context("copying the package")?;
    root.run("dpkg --install /package </dev/null; rm /package").context("installing")?;
    let config = fs::read_to_string(root.at("/etc/tracer/tracer.toml"))? + CONFIG;
    fs::write(root.at("/etc/tracer/tracer.toml"), config)?;
    fs::write(root.at("/trial.sh"), include_str!("boot.sh"))?;
    fs::write(root.at("/etc/systemd/system/trial.service"), JOB)?;
    root.run("systemctl enable trial.service")?;
    let mut made = Vec::new();
    for name in ["vmlinuz-", "initrd.img-"] {
        let from =
            find(&root.at("/boot"), |file| file.starts_with(name)).with_context(|| format!("no {name} in the root"))?;
        let to = cache.join(name.trim_end_matches('-'));
        fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        made.push(to);
    }
    let image = cache.join("disk.ext4");
    let _ = fs::remove_file(&image);
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-d"]).arg(root.path()).arg(&image).arg("1536M");
    sh::run(command.stdout(Stdio::null())).context("making the machine's disk")?;
    let [kernel, initrd] = <[_; 2]>::try_from(made).unwrap_or_default();
    Ok((image, kernel, initrd))
}

/// A machine's process; killed when it goes out of scope.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
