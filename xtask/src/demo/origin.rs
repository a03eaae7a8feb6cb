//! The demo's origin: nginx with a location for each failure, in a memory cgroup.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use lab::{Lab, MemoryGroup, Nginx, NginxOptions, wait};

/// The port that nginx listens on.
pub(super) const PORT: u16 = 80;
/// nginx' keep-alive timeout.
pub(super) const IDLE: Duration = Duration::from_millis(500);
/// Memory for nginx and its workers, in bytes.
const MEMORY: u64 = 96 << 20;
/// Perl's interpreter inside nginx: the shortest way to a real fault of a worker.
const PERL: &str = "ngx_http_perl_module";
const LIMIT: Duration = Duration::from_secs(5);

/// A running nginx and its cgroup.
pub(super) struct Origin {
    nginx: Nginx,
    workers: Vec<u32>,
    // Last: a group can be removed only when its processes have ended.
    memory: MemoryGroup,
}

impl Origin {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let module = lab::nginx_module(PERL).with_context(|| format!("nginx has no {PERL}"))?;
        let memory = lab.memory_group(MEMORY)?;
        // `unpack "p"` reads the string at an address, here 8; the list grows by a megabyte a turn.
        let http = format!(
            "server {{ listen {PORT}; keepalive_timeout {}ms;
               location / {{ return 200 ok; }}
               location /nothing {{ return 444; }}
               location /reset {{ reset_timedout_connection on; return 444; }}
               location /fault {{ perl 'sub {{ my $x = unpack(\"p\", pack(\"Q\", 8)); return OK; }}'; }}
               location /leak {{ perl 'sub {{ my @kept; my $i = 0; push @kept, chr(65 + $i++ % 26) x 1048576 while 1; }}'; }}
             }}",
            IDLE.as_millis()
        );
        let main = format!("load_module {};", module.display());
        let options = NginxOptions { main: &main, http: &http, ports: &[PORT], workers: 2, group: Some(&memory) };
        let nginx = Nginx::start(lab, &options)?;
        let workers = nginx.workers();
        Ok(Self { nginx, workers, memory })
    }

    /// Waits until nginx has replaced the worker that died.
    pub(super) fn wait_for_new_worker(&mut self) -> Result<()> {
        let before = std::mem::take(&mut self.workers);
        self.workers = wait::until("nginx to replace its worker", LIMIT, || {
            let now = self.nginx.workers();
            Ok((now.len() == before.len() && now != before).then_some(now))
        })?;
        Ok(())
    }

    /// Stops nginx as `nginx -s quit` does.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.nginx.signal(Signal::QUIT);
        self.nginx.wait(LIMIT).context("stopping nginx").map(|_| ())
    }

    pub(super) fn oom_kills(&self) -> Result<u64> {
        self.memory.oom_kills()
    }

    pub(super) fn error_log(&self) -> String {
        self.nginx.error_log()
    }
}
