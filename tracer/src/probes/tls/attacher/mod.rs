//! Probes are put into libraries as servers come and go, which takes privileges (`CAP_BPF`, `CAP_PERFMON`, before Linux
//! 6.6 `CAP_SYS_ADMIN`). A process that does nothing else has them: the agent hands it an open file, an offset and the
//! number of a program. It reads nothing that comes from outside. When it ends, the kernel takes its probes away.

mod child;
mod form;
mod link;
mod wire;

pub use child::serve;
pub use form::Form;

use std::{
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair,
    sockopt::{Timeout, set_socket_timeout},
};
use wire::{Answer, Request, receive, send, verbs};

/// The one argument that makes the executable this process. It stands in no help: the form of the programs follows it.
const ARGUMENT: &str = "attach-probes";
/// The kernel needs some milliseconds to attach.
const PATIENCE: Duration = Duration::from_secs(5);
/// It needs as many to end.
const END: Duration = Duration::from_secs(1);

/// The agent's hold on that process, which ends with it.
#[derive(Debug)]
pub struct Attacher {
    socket: OwnedFd,
    process: Child,
}

/// The name of a probe that is in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe(u32);

/// Whether this process was started to attach: in which form.
#[must_use]
pub fn asked_for(mut arguments: impl Iterator<Item = String>) -> Option<Form> {
    let is_asked = arguments.nth(1).as_deref() == Some(ARGUMENT);
    arguments.next().filter(|_| is_asked).and_then(|form| Form::parse(&form))
}

impl Attacher {
    /// Starts it, with the privileges of this thread, and has it hold these programs, which are numbered in this order.
    pub(super) fn start(form: Form, programs: &[BorrowedFd<'_>]) -> Result<Self> {
        let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&here, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&here, Timeout::Send, Some(PATIENCE))?;
        // A group of its own: an interrupt at the terminal is for the agent, which ends this in its turn.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("tracer").args([ARGUMENT, form.name()]).env_clear().process_group(0);
        let process = command.stdin(Stdio::from(there)).stdout(Stdio::null()).spawn();
        let process = process.context("starting the process that attaches probes")?;
        // The command held the other side of the socket.
        drop(command);
        let attacher = Self { socket: here, process };
        for program in programs {
            attacher.ask(Request { verb: verbs::HOLD, number: 0, at: 0 }, Some(*program))?;
        }
        Ok(attacher)
    }

    /// Puts program `number` at this offset of a file, in every process that maps it.
    pub(super) fn attach(&self, number: usize, file: &File, at: u64) -> Result<Probe> {
        let number = u32::try_from(number)?;
        self.ask(Request { verb: verbs::ATTACH, number, at }, Some(file.as_fd())).map(Probe)
    }

    /// Takes a probe away.
    ///
    /// # Errors
    /// Where the process is gone, and the probe with it.
    pub fn detach(&self, probe: Probe) -> Result<()> {
        self.ask(Request { verb: verbs::DETACH, number: probe.0, at: 0 }, None).map(|_| ())
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn ask(&self, request: Request, descriptor: Option<BorrowedFd<'_>>) -> Result<u32> {
        send(&self.socket, &request, descriptor).context("asking the process that attaches probes")?;
        let answer = receive::<Answer>(&self.socket).context("the answer of the process that attaches probes")?;
        let (answer, _) = answer.ok_or_else(|| anyhow!("the process that attaches probes has ended"))?;
        ensure!(answer.error == 0, "{}", std::io::Error::from_raw_os_error(answer.error.cast_signed()));
        Ok(answer.number)
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        // Its probes go with it, before the agent says that it has ended. To kill it is the last resort: see `serve`.
        let _gone = shutdown(&self.socket, Shutdown::Both);
        let until = Instant::now() + END;
        while self.is_alive() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_argument_makes_a_process_attach() {
        let asked = |words: &[&str]| asked_for(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(asked(&["tracer", ARGUMENT, "single"]), Some(Form::Single));
        for other in [&["tracer"][..], &["tracer", ARGUMENT], &["tracer", ARGUMENT, "x"], &["tracer", "run", "multi"]] {
            assert_eq!(asked(other), None, "{other:?}");
        }
    }
}
