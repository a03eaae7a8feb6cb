//! Starts the servers in the origin's namespace, each from a template of its configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::server::{
    APACHE, APACHE_IDLE, APACHE_TLS, CADDY, CADDY_TLS, GUNICORN, GUNICORN_TLS, HAPROXY, HAPROXY_REJECT, HAPROXY_TLS,
    LISTENING, NGINX, NGINX_IDLE, NGINX_IDLE_TLS, NGINX_TLS, NOBODY, NODE, NODE_CLOSER, NODE_CLUSTER, NODE_TLS, PHP,
    PHP_TLS, RAW_UPSTREAM, Server, UPSTREAM,
};
use lab::{Lab, MemoryGroup, Nginx, NginxOptions, Process, procs, wait};

/// How long the servers may take to listen, all together.
const START: Duration = Duration::from_secs(30);
const GUNICORN_WORKERS: usize = 4;
const APACHE_WORKERS: usize = 12;
const CLUSTER_WORKERS: usize = 2;
/// What php-fpm's master and its children may use, bytes.
const PHP_MEMORY: u64 = 160 << 20;
/// Everyone may read a page and run a script; Apache's workers are not root.
const OPEN: u32 = 0o755;

/// The running servers; they end with it.
pub(super) struct Servers {
    apache: Process,
    others: Vec<Process>,
    nginx: Nginx,
    held: PathBuf,
    /// Ends last, as php-fpm is in it.
    _group: MemoryGroup,
}

impl Servers {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let files = Files { dir: lab.dir() };
        files.pages()?;
        let held = files.scripts()?;
        let group = lab.memory_group(PHP_MEMORY)?;
        let others = others(lab, &files, &group).context("starting the servers")?;
        let apache = apache(lab, &files).context("starting apache2")?;
        let ports: Vec<u16> =
            [NGINX, NGINX_IDLE, PHP, NGINX_TLS, NGINX_IDLE_TLS, PHP_TLS].map(|server| server.port).to_vec();
        let http = files.fill(include_str!("conf/nginx.conf"));
        let nginx = Nginx::start(lab, &NginxOptions { http: &http, ports: &ports, workers: 2, ..Default::default() })?;
        let servers = Self { apache, others, nginx, held, _group: group };
        servers.wait_ready(lab).with_context(|| servers.logs())?;
        Ok(servers)
    }

    fn wait_ready(&self, lab: &Lab) -> Result<()> {
        let mut ports = LISTENING.map(|server| server.port).to_vec();
        ports.extend([UPSTREAM, RAW_UPSTREAM]);
        wait::until("the servers to listen", START, || {
            self.check()?;
            let open = lab.origin().listening()?;
            Ok(ports.iter().all(|port| open.contains(port)).then_some(()))
        })?;
        self.apache.wait_workers(APACHE_WORKERS, START)?;
        let booted = |server: &Process| server.log().matches("Booting worker").count();
        wait::until_true("gunicorn's workers", START, || {
            self.others.iter().map(booted).sum::<usize>() >= 2 * GUNICORN_WORKERS
        })
    }

    /// An error if one has ended.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(procs::alive(self.nginx.pid()), "nginx has ended: {}", self.nginx.error_log());
        for server in self.others.iter().chain([&self.apache]) {
            ensure!(procs::alive(server.pid()), "a server has ended: {}", server.log());
        }
        Ok(())
    }

    /// The last lines of each server's own log.
    fn logs(&self) -> String {
        let logs = self.others.iter().chain([&self.apache]).map(Process::log);
        logs.map(|log| log.lines().rev().take(3).collect::<Vec<_>>().join("\n")).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the Apache worker that serves `/hold?NUMBER` has said who it is.
    pub(super) fn holder(&self, number: u64, limit: Duration) -> Result<u32> {
        let file = self.held.join(number.to_string());
        let pid = wait::until("an Apache worker to hold a request", limit, || {
            Ok(fs::read_to_string(&file).ok().and_then(|text| text.strip_suffix('\n')?.parse::<u32>().ok()))
        })?;
        let _ = fs::remove_file(file);
        ensure!(self.apache.workers().contains(&pid), "process {pid} is no worker of Apache");
        Ok(pid)
    }
}

/// The lab's folder, and the templates' values.
struct Files<'a> {
    dir: &'a Path,
}

impl Files<'_> {
    /// The template with its `@NAMES@` replaced.
    fn fill(&self, template: &str) -> String {
        let ports = [
            ("@NGINX@", NGINX.port),
            ("@NGINX_IDLE@", NGINX_IDLE.port),
            ("@PHP@", PHP.port),
            ("@APACHE@", APACHE.port),
            ("@APACHE_IDLE@", APACHE_IDLE.port),
            ("@HAPROXY@", HAPROXY.port),
            ("@HAPROXY_REJECT@", HAPROXY_REJECT.port),
            ("@CADDY@", CADDY.port),
            ("@NGINX_TLS@", NGINX_TLS.port),
            ("@NGINX_IDLE_TLS@", NGINX_IDLE_TLS.port),
            ("@PHP_TLS@", PHP_TLS.port),
            ("@APACHE_TLS@", APACHE_TLS.port),
            ("@HAPROXY_TLS@", HAPROXY_TLS.port),
            ("@CADDY_TLS@", CADDY_TLS.port),
            ("@GUNICORN@", GUNICORN.port),
            ("@APP@", UPSTREAM),
            ("@RAW@", RAW_UPSTREAM),
            ("@CLOSED@", NOBODY.port),
        ];
        let text = template.replace("@DIR@", &self.dir.display().to_string());
        ports.iter().fold(text, |text, (name, port)| text.replace(name, &port.to_string()))
    }

    fn write(&self, name: &str, template: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::write(&path, self.fill(template)).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    fn folder(&self, name: &str, mode: u32) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// Files that nginx, Apache and Caddy serve as they are.
    fn pages(&self) -> Result<()> {
        fs::set_permissions(self.dir, fs::Permissions::from_mode(OPEN))?;
        self.folder("www", OPEN)?;
        for (name, length) in [("small", 5), ("large", 300 * 1024), ("notmodified", 5)] {
            self.write(&format!("www/{name}"), &"x".repeat(length))?;
        }
        Ok(())
    }

    /// Apache's CGI programs. `hold` says who runs it, and then takes its time.
    fn scripts(&self) -> Result<PathBuf> {
        self.folder("cgi", OPEN)?;
        let held = self.folder("held", 0o777)?;
        let scripts = [
            // Reads to the end first: Apache does not read before it has written everything.
            ("echo", "count=$(wc -c)\nprintf 'Content-Type: text/plain\\n\\n'\necho $count\n"),
            ("chunked", "printf 'Content-Type: text/plain\\n\\n'\necho one\necho two\n"),
            ("hold", "echo $PPID > @DIR@/held/$QUERY_STRING\nexec sleep 2\n"),
        ];
        for (name, body) in scripts {
            let path = self.write(&format!("cgi/{name}"), &format!("#!/bin/sh\n{body}"))?;
            fs::set_permissions(path, fs::Permissions::from_mode(OPEN))?;
        }
        Ok(held)
    }
}

/// HAProxy, Caddy, Node in its several roles, php-fpm and, last, gunicorn.
fn others(lab: &Lab, files: &Files<'_>, group: &MemoryGroup) -> Result<Vec<Process>> {
    let dir = files.dir.display().to_string();
    let haproxy = files.write("haproxy.cfg", include_str!("conf/haproxy.cfg"))?;
    let caddyfile = files.write("Caddyfile", include_str!("conf/Caddyfile"))?;
    let app = files.write("app.js", include_str!("conf/app.js"))?;
    let raw = files.write("raw.js", include_str!("conf/raw.js"))?;
    let fpm = files.write("php-fpm.conf", include_str!("conf/php-fpm.conf"))?;
    files.write("app.php", include_str!("conf/app.php"))?;
    files.write("app.py", include_str!("conf/app.py"))?;
    let node = |host: &str, port: u16, workers: usize| format!("{app} {host} {port} {workers}");
    let gunicorn = |server: &Server, more: &str| {
        let port = server.port;
        format!("app:app --chdir {dir} --worker-tmp-dir /dev/shm -b [::]:{port} -w {GUNICORN_WORKERS}{more}")
    };
    let commands = [
        ("haproxy", format!("-f {haproxy} -db")),
        // Caddy keeps its state below these.
        (
            "env",
            format!(
                "HOME={dir} XDG_DATA_HOME={dir} XDG_CONFIG_HOME={dir} caddy run --config {caddyfile} --adapter caddyfile"
            ),
        ),
        ("node", node("::", NODE.port, 0)),
        ("node", node("127.0.0.1", UPSTREAM, 0)),
        ("node", node("::", NODE_CLUSTER.port, CLUSTER_WORKERS)),
        ("node", format!("{} {dir}", node("::", NODE_TLS.port, 0))),
        ("node", format!("{raw} {RAW_UPSTREAM} {}", NODE_CLOSER.port)),
        ("gunicorn", gunicorn(&GUNICORN_TLS, &format!(" --certfile {dir}/cert.pem --keyfile {dir}/key.pem"))),
        ("gunicorn", gunicorn(&GUNICORN, "")),
    ];
    let fpm = command(lab, &php_fpm()?, &format!("-F -R -y {fpm}"), Some(group));
    std::iter::once(fpm).chain(commands.iter().map(|(program, args)| command(lab, program, args, None))).collect()
}

fn apache(lab: &Lab, files: &Files<'_>) -> Result<Process> {
    let config = files.write("httpd.conf", include_str!("conf/httpd.conf"))?;
    command(lab, "apache2", &format!("-f {config} -DFOREGROUND"), None)
}

/// Starts a program with these words as its arguments.
fn command(lab: &Lab, program: &str, args: &str, group: Option<&MemoryGroup>) -> Result<Process> {
    let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
    lab.origin_command(&find(program)?, &args, group)
}

/// Servers live where a user's PATH may not look.
fn find(program: &str) -> Result<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/bin"];
    let paths = dirs.iter().map(|dir| Path::new(dir).join(program));
    paths.into_iter().find(|path| path.exists()).with_context(|| format!("{program} is not installed"))
}

/// php-fpm carries its version in its name.
fn php_fpm() -> Result<String> {
    let names = fs::read_dir("/usr/sbin")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("php-fpm")).max().context("php-fpm is not installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_template_has_a_value() {
        let files = Files { dir: Path::new("/tmp/lab") };
        for template in [
            include_str!("conf/nginx.conf"),
            include_str!("conf/httpd.conf"),
            include_str!("conf/haproxy.cfg"),
            include_str!("conf/php-fpm.conf"),
        ] {
            let filled = files.fill(template);
            assert!(!filled.contains('@'), "{}", filled.lines().find(|line| line.contains('@')).unwrap());
        }
    }
}
