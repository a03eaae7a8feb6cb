//! `tracer probe` as it was typed.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
It connects to the target alone, and never to an address of Cloudflare's.
Exit status: 0 no finding would be a 52x, 4 at least one would be.

Examples:
  tracer probe 203.0.113.5 --host www.example.com
  tracer probe https://203.0.113.5:8443/health --host www.example.com
  tracer probe 127.0.0.1 --port 80 --keep-alive 900 --json
  tracer probe 203.0.113.5 --host www.example.com --large-head --slow-body 60";

/// `tracer probe`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub struct ProbeArgs {
    /// The origin: http:// or https:// URL, or address (HTTPS on port 443 unless --port says otherwise)
    #[arg(value_name = "URL|IP")]
    pub target: String,
    /// Host to ask for, as visitors do [default: the target's]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Server name for TLS and the certificate [default: the host]
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Port to connect to
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// The zone's encryption mode is Full, so that the certificate does not count
    #[arg(long)]
    pub full: bool,
    /// Trust these authorities (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How long to wait for each answer [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Wait up to so many seconds (900 at most) for the close of an idle connection
    #[arg(long, value_name = "SECONDS")]
    pub keep_alive: Option<String>,
    /// Also send a request head of 32 KiB
    #[arg(long)]
    pub large_head: bool,
    /// Also send a POST that waits for 100 (Continue)
    #[arg(long)]
    pub expect_continue: bool,
    /// Also send a POST whose body takes so many seconds (300 at most)
    #[arg(long, value_name = "SECONDS")]
    pub slow_body: Option<String>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}
