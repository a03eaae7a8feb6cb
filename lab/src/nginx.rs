//! A real nginx in the origin's namespace, with a configuration of the caller's.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Lab, MemoryGroup, Process, SERVER_START};

/// Where distributions put the binary.
const BINARIES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];

/// What differs from one nginx to the next.
#[derive(Debug, Default)]
pub struct NginxOptions<'a> {
    /// Lines of the main context (`load_module` …).
    pub main: &'a str,
    /// The contents of `http { }`.
    pub http: &'a str,
    /// The ports that it will listen on.
    pub ports: &'a [u16],
    /// Worker processes.
    pub workers: usize,
    /// A memory cgroup for the master and its workers.
    pub group: Option<&'a MemoryGroup>,
}

/// A running nginx: its master process.
#[derive(Debug)]
pub struct Nginx {
    master: Process,
    config: PathBuf,
}

impl Nginx {
    /// Starts nginx and waits until it listens and has its workers.
    pub fn start(lab: &Lab, options: &NginxOptions<'_>) -> Result<Self> {
        let dir = lab.dir().join(format!("nginx-{}", lab.next()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(&dir, options)).with_context(|| format!("writing {}", config.display()))?;
        let args = arguments(&dir, &config);
        let master = lab.origin_command(binary()?, &args, options.group)?;
        let started = lab
            .origin()
            .wait_listening(options.ports, SERVER_START)
            .and_then(|()| master.wait_workers(options.workers, SERVER_START));
        let nginx = Self { master, config };
        started.with_context(|| format!("starting nginx: {}{}", nginx.log(), nginx.error_log()))?;
        Ok(nginx)
    }

    /// nginx' own error log.
    #[must_use]
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.config.with_file_name("error.log")).unwrap_or_default()
    }
}

impl Deref for Nginx {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.master
    }
}

impl DerefMut for Nginx {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.master
    }
}

fn binary() -> Result<&'static Path> {
    BINARIES.iter().map(Path::new).find(|path| path.exists()).context("nginx is not installed (`./dev setup test`)")
}

/// The module's path, if this nginx has it as a loadable file.
#[must_use]
pub fn module(name: &str) -> Option<PathBuf> {
    let version = Command::new(binary().ok()?).arg("-V").output().ok()?;
    let text = String::from_utf8_lossy(&version.stderr).into_owned();
    let dir = text.split_ascii_whitespace().find_map(|word| word.strip_prefix("--modules-path="))?;
    Some(Path::new(dir).join(format!("{name}.so"))).filter(|path| path.exists())
}

fn arguments(dir: &Path, config: &Path) -> Vec<String> {
    let [dir, config] = [dir, config].map(|path| path.display().to_string());
    let error_log = format!("{dir}/error.log");
    ["-c", &config, "-p", &dir, "-e", &error_log, "-g", "daemon off;"].map(str::to_owned).to_vec()
}

fn configuration(dir: &Path, options: &NginxOptions<'_>) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {dir}/{kind};\n"))
        .concat();
    format!(
        "user root;\nworker_processes {};\npid {dir}/nginx.pid;\nerror_log {dir}/error.log info;\n{}\n\
         events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n  default_type text/plain;\n{temporary}{}\n}}\n",
        options.workers, options.main, options.http
    )
}
