//! The supervisor: holds the listening socket, keeps the workers going, and kills the one that says it is stuck.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, anyhow};

use super::Spec;

/// A worker's line on its standard output by which it asks to be killed, as one whose heartbeat stopped.
pub(super) const STUCK: &str = "stuck";

/// Runs the workers until one can't be started.
pub(super) fn supervise(listener: TcpListener, spec: &Spec) -> Result<()> {
    std::thread::scope(|scope| {
        let slots: Vec<_> = (0..spec.workers).map(|_| scope.spawn(|| keep_one(&listener, spec))).collect();
        slots.into_iter().try_for_each(|slot| slot.join().map_err(|_| anyhow!("a worker's keeper panicked"))?)
    })
}

/// Starts a worker, waits for its end, starts the next.
fn keep_one(listener: &TcpListener, spec: &Spec) -> Result<()> {
    let worker = Spec { worker: true, ..spec.clone() };
    loop {
        // Standard input carries the socket: every worker accepts from the same queue.
        let socket = OwnedFd::from(listener.try_clone().context("duplicating the listening socket")?);
        let mut child = Command::new(std::env::current_exe()?)
            .args(worker.to_args())
            .stdin(Stdio::from(socket))
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker")?;
        eprintln!("worker {} started", child.id());
        listen_to(&mut child)?;
        let status = child.wait().context("waiting for a worker")?;
        eprintln!("worker {} ended: {status}", child.id());
    }
}

/// Follows the worker's output to its end, and kills it if it says that it is stuck.
fn listen_to(child: &mut Child) -> Result<()> {
    let output = child.stdout.take().context("a worker without standard output")?;
    for line in BufReader::new(output).lines() {
        if line.context("reading from a worker")? == STUCK {
            child.kill().context("killing a stuck worker")?;
        }
    }
    Ok(())
}
