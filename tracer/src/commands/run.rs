//! `tracer run`: the daemon.

use std::{io, sync::Arc};

use anyhow::{Context as _, Result};
use log::{info, warn};
use tokio::net::TcpListener;

use super::{DONE, runtime, start_log};
use crate::{
    agent::{Agent, Sink},
    cli::RunArgs,
    config::RunConfig,
    diagnose::Diagnosis,
    sinks::{
        http::{Web, serve},
        metrics::Metrics,
        stream::{Format, Stream, Target},
    },
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Wrong use, a host that can't be traced, a taken port, or a failure at run time.
pub fn run(args: &RunArgs) -> Result<u8> {
    let config = args.check()?;
    start_log(&config.settings);
    runtime()?.block_on(daemon(args, config))
}

async fn daemon(args: &RunArgs, config: RunConfig) -> Result<u8> {
    let ranges = config.settings.edge_ranges()?;
    // Bound first: a second instance, or a taken port, must not attach anything.
    let listener = TcpListener::bind(config.listen).await.with_context(|| taken(&config))?;
    let events = match &config.events {
        Some(target) => {
            Some(Stream::open(target, Format::Json).with_context(|| format!("opening {}", name(target)))?)
        }
        None => None,
    };
    let mut agent = Agent::start(&config.settings, ranges)?;
    let shared = agent.shared();
    let metrics = Metrics::new(Arc::new(move || shared.snapshot()))?;
    let web = Arc::new(Web::new(metrics, agent.summary()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, Arc::clone(&web), async {
        let _sender_gone = stopped.await;
    }));
    web.set_ready(true);
    info!("ready; listening on http://{}; {}", config.listen, agent.summary());
    notify(&[sd_notify::NotifyState::Ready]);
    let mut sink = DaemonSink { web: Arc::clone(&web), events };
    let reload = || Ok(args.check()?.settings);
    let ended = agent.run(&mut sink, None, &reload).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    drop(agent);
    web.set_ready(false);
    let _already_gone = stop.send(());
    let _ = server.await;
    ended.map(|_| DONE)
}

fn taken(config: &RunConfig) -> String {
    format!("listening on {}: is another tracer running? choose another address with --listen", config.listen)
}

fn name(target: &Target) -> String {
    match target {
        Target::Stdout => "standard output".to_owned(),
        Target::File(path) => path.display().to_string(),
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("notifying systemd: {error}");
    }
}

struct DaemonSink {
    web: Arc<Web>,
    events: Option<Stream>,
}

impl Sink for DaemonSink {
    fn failure(&mut self, diagnosis: &Diagnosis) -> io::Result<()> {
        self.web.record(diagnosis);
        if let Some(events) = &mut self.events {
            match events.write(diagnosis) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
                // A full disk must not stop the counting.
                Err(error) => warn!("writing a failure to the events file: {error}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn process_end(&mut self, process: &str, how: &'static str) {
        self.web.metrics().process_end(process, how);
    }

    fn oom_kill(&mut self, process: &str) {
        self.web.metrics().oom_kill(process);
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.events.as_mut().map_or(Ok(()), Stream::reopen)
    }

    fn is_done(&self) -> bool {
        false
    }
}
