//! An HTTP origin that fails on request: `/empty`, `/linger`, `/segv`, `/oom` and so on.
//!
//! It is this same executable, started again with [`COMMAND`] as its first argument. With workers, a supervisor holds
//! the listening socket, starts the workers on it and replaces those that end; without, one process does everything.

mod behaviour;
mod fault;
mod forward;
mod gateway;
mod request;
mod supervisor;
mod worker;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

/// The first argument that makes an executable this origin.
pub const COMMAND: &str = "lab-origin";

/// What the listening port does with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Speak HTTP; the path picks the behaviour.
    #[default]
    Http,
    /// Accept, close at once.
    Close,
    /// Accept, wait for the request, close without reading it.
    CloseUnread,
    /// Accept, reset at once.
    Reset,
    /// Never accept.
    NeverAccept,
    /// Never accept; close the listening socket `idle_ms` after the first connection is in its queue, and live on.
    LetGo,
}

/// How to run the origin.
#[derive(Clone, Debug, Parser)]
#[command(name = COMMAND, hide = true)]
pub struct Spec {
    /// The port to listen on.
    #[arg(long)]
    pub port: u16,
    /// The address to listen on; `::` takes both families.
    #[arg(long, default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    pub address: IpAddr,
    /// The name of its processes (at most 15 bytes).
    #[arg(long, default_value = "lab-origin")]
    pub name: String,
    /// What a connection meets.
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// Worker processes below a supervisor; 0: a single process.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Close a kept-alive connection after so many milliseconds without a request.
    #[arg(long)]
    pub idle_ms: Option<u64>,
    /// Read no request, but pass the bytes of each connection on to this port on loopback, and back.
    #[arg(long)]
    pub forward: Option<u16>,
    /// Serve on the socket that is standard input, as a worker.
    #[arg(long, hide = true)]
    pub worker: bool,
}

impl Spec {
    /// One worker below a supervisor, speaking HTTP.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self {
            port,
            address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            name: "lab-origin".into(),
            mode: Mode::Http,
            workers: 1,
            idle_ms: None,
            forward: None,
            worker: false,
        }
    }

    /// With this many workers; 0 is a single process without supervisor.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// With this port mode.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// With this idle timeout.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle_ms = u64::try_from(idle.as_millis()).ok();
        self
    }

    /// Passing bytes on to this port.
    #[must_use]
    pub fn forward(mut self, port: u16) -> Self {
        self.forward = Some(port);
        self
    }

    /// With this process name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The command line that gives this spec again, [`COMMAND`] first.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mode = self.mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut args = vec![
            COMMAND.to_owned(),
            format!("--port={}", self.port),
            format!("--address={}", self.address),
            format!("--name={}", self.name),
            format!("--mode={mode}"),
            format!("--workers={}", self.workers),
        ];
        args.extend(self.idle_ms.map(|ms| format!("--idle-ms={ms}")));
        args.extend(self.forward.map(|port| format!("--forward={port}")));
        args.extend(self.worker.then(|| "--worker".to_owned()));
        args
    }

    fn idle_timeout(&self) -> Option<Duration> {
        self.idle_ms.map(Duration::from_millis)
    }
}

/// What the origin writes to its log once it has read a request.
pub(crate) fn asked_for(path: &str) -> String {
    format!("asked for {path}")
}

/// Runs the origin if the command line asks for it: every executable that makes labs calls this first.
/// Returns `None` if it does not, and otherwise the origin's end.
#[must_use]
pub fn main_if_asked() -> Option<Result<()>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    (args.first().map(String::as_str) == Some(COMMAND)).then(|| run(&Spec::try_parse_from(args)?))
}

/// Runs the origin, or the part of it that the spec names; ends with an error or a signal only.
pub fn run(spec: &Spec) -> Result<()> {
    let name = std::ffi::CString::new(spec.name.as_str()).context("a process name with a NUL byte")?;
    rustix::thread::set_name(&name).context("setting the process name")?;
    if spec.worker {
        return worker::serve(worker::inherited_listener()?, spec);
    }
    let address = SocketAddr::new(spec.address, spec.port);
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    if spec.workers == 0 { worker::serve(listener, spec) } else { supervisor::supervise(listener, spec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_gives_the_spec_again() {
        let spec =
            Spec::new(80).workers(3).mode(Mode::CloseUnread).idle(Duration::from_millis(250)).forward(81).name("api");
        let again = Spec::try_parse_from(spec.to_args()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{spec:?}"));
    }
}
