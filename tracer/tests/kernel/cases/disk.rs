//! A file system that is full, and servers that write to it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{EDGE_A, Lab, Nginx, NginxOptions, Seen, wait};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;

use super::{LIMIT, saw};
use crate::agent::Agent;
use crate::runner::{Case, cases};
use crate::want::{Want, check};

pub(super) fn cases() -> Vec<Case> {
    cases![a_full_disk_is_named_where_it_explains_and_not_once_there_is_room]
}

/// What the agent reads around a failure it takes for the same so long.
const FRESH: Duration = Duration::from_secs(1);

/// A proxy whose temporary files and log are on a disk that is full: of a response that the edge is slow to take it
/// keeps no more than fits into memory, and gives up. Another request it hangs up on by its configuration, with the
/// disk full and with room on it.
fn a_full_disk_is_named_where_it_explains_and_not_once_there_is_room() -> Result<()> {
    const LARGE: u64 = 256 << 20;
    let lab = Lab::new()?;
    let disk = Disk::new()?;
    let (mount, dir) = (disk.0.display().to_string(), lab.dir().display().to_string());
    File::create(lab.dir().join("large"))?.set_len(LARGE)?;
    let upstream = format!("server {{ listen 127.0.0.1:81; root {dir}; }}");
    let proxy = format!(
        "server {{ listen 80; proxy_temp_path {mount}/proxy; location / {{ proxy_pass http://127.0.0.1:81; }}
         location /hang-up {{ return 444; }} }}"
    );
    let http = format!("{upstream}\n{proxy}");
    let main = format!("error_log {mount}/error.log info;");
    let options = NginxOptions { main: &main, http: &http, ports: &[80, 81], workers: 1, ..NginxOptions::default() };
    let nginx = Nginx::start(&lab, &options)?;
    let worker = nginx.workers()[0];
    // The unit's user owns nothing, and may not look into the descriptors of others.
    let agent = Agent::start_as_unit(&[])?;
    disk.fill()?;
    let mut conn = lab.connect(EDGE_A, 80)?;
    conn.send("/large")?;
    conn.wait_first_byte()?;
    wait::until_true("nginx to give up", LIMIT, || nginx.error_log().contains("No space left on device"))?;
    let cut = conn.exchange(Seen::Partial);
    let hung_up = saw(lab.get(EDGE_A, 80, "/hang-up")?, &[Seen::Empty])?;
    // The agent looks at the disk when it reads the record, which may be a while after the failure.
    wait::until("the agent to tell both", LIMIT, || Ok((agent.events()?.len() == 2).then_some(())))?;
    disk.empty()?;
    sleep(FRESH);
    let with_room = saw(lab.get(EDGE_A, 80, "/hang-up")?, &[Seen::Empty])?;
    let line =
        format!("nginx[{worker}] has a file open for writing on {mount}, a file system that is full: 0 of 64 KiB");
    let wants = [
        Want::new(&cut, "truncated_body", Value::Null, "fin_in_response").saying(line.as_str()),
        Want::new(&hung_up, "empty_reply", 520, "fin_no_response").saying(line),
        Want::new(&with_room, "empty_reply", 520, "fin_no_response").not_saying("is full"),
    ]
    .map(|want| want.process("nginx", worker));
    check(agent, &lab, &wants)
}

/// A small file system of its own, unmounted in the end.
pub(super) struct Disk(pub(super) PathBuf);

impl Disk {
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tracer-disk-{}", std::process::id()));
        fs::create_dir(&path)?;
        let disk = Self(path);
        mount("tmpfs", &disk.0, "tmpfs", MountFlags::empty(), Some(c"size=64k")).context("mounting a tmpfs")?;
        Ok(disk)
    }

    pub(super) fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no page free.
    pub(super) fn fill(&self) -> Result<()> {
        ensure!(fs::write(self.ballast(), vec![0; 1 << 20]).is_err(), "a MiB went into 64 KiB");
        Ok(())
    }

    pub(super) fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}
