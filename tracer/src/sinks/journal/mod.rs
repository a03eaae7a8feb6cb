//! Failures as entries of the systemd journal, in its [native protocol](https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
//!
//! No kept crate speaks it without a C library, the `log` facade or a dozen crates more.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr, sendto};
use serde::Serialize;
use serde_json::Value;

use super::escape::terminal;
use super::text;
use super::told::Told;
use crate::diagnose::{Diagnosis, origin::OriginError};

/// The class of every entry: a failure.
pub const MESSAGE_ID: &str = "e8c3e860a52947c19810e2bf2083c183";

/// `err`: a visitor was shown an error.
const PRIORITY: &str = "3";

/// `warning`: the visitor was shown an error that the origin chose to answer.
const OWN_PRIORITY: &str = "4";

/// A journal that takes entries.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    /// Named with each entry, so that a journal that was started anew gets the next.
    address: SocketAddrUnix,
}

impl Journal {
    /// # Errors
    /// Nobody listens there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let nobody = |error: io::Error| io::Error::new(error.kind(), format!("{error}: is systemd-journald running?"));
        UnixDatagram::unbound()?.connect(path).map_err(nobody)?;
        Ok(Self { socket: UnixDatagram::unbound()?, address: SocketAddrUnix::new(path)? })
    }

    /// Hands over one failure.
    ///
    /// # Errors
    /// The journal is gone.
    pub(super) fn write(&self, diagnosis: &Diagnosis) -> io::Result<()> {
        self.send(&entry(PRIORITY, &text::line(&Told::from(diagnosis)), diagnosis)?)
    }

    /// The same for one of the origin's own answers of 5xx.
    ///
    /// # Errors
    /// The journal is gone.
    pub(super) fn write_origin(&self, error: &OriginError) -> io::Result<()> {
        self.send(&entry(OWN_PRIORITY, &text::line(&Told::from(error)), error)?)
    }

    fn send(&self, entry: &str) -> io::Result<()> {
        match sendto(&self.socket, entry.as_bytes(), SendFlags::NOSIGNAL, &self.address) {
            Ok(_) => Ok(()),
            Err(Errno::MSGSIZE | Errno::NOBUFS) => self.hand_over(entry),
            Err(error) => Err(error.into()),
        }
    }

    /// An entry too large for a datagram goes as a sealed file in memory.
    fn hand_over(&self, entry: &str) -> io::Result<()> {
        let mut file = File::from(memfd_create("tracer-entry", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(entry.as_bytes())?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [file.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let nothing: [IoSlice<'_>; 0] = [];
        sendmsg_addr(&self.socket, &self.address, &nothing, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Each known field of the record as `TRACER_…`, a list as a field that is repeated, after what every entry has.
fn entry(priority: &str, message: &str, record: &impl Serialize) -> io::Result<String> {
    let mut entry = format!(
        "MESSAGE_ID={MESSAGE_ID}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={}\nMESSAGE={message}\n",
        env!("CARGO_PKG_NAME")
    );
    if let Value::Object(record) = serde_json::to_value(record)? {
        for (key, value) in record {
            add(&mut entry, &key.to_ascii_uppercase(), &value);
        }
    }
    Ok(entry)
}

/// Escaped text holds no line end, so that the protocol's binary form is never needed.
fn add(entry: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null | Value::Object(_) => {}
        Value::Array(values) => values.iter().for_each(|value| add(entry, name, value)),
        Value::String(text) => entry.push_str(&format!("TRACER_{name}={}\n", terminal(text))),
        plain => entry.push_str(&format!("TRACER_{name}={plain}\n")),
    }
}

#[cfg(test)]
mod tests;
