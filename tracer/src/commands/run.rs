//! `tracer run`: the daemon.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context as _, Result};
use log::{info, warn};
use tokio::net::TcpListener;

use super::{runtime, start_log};
use crate::{
    agent::{Agent, Ended, Sink},
    cli::RunArgs,
    config::{RunConfig, Target},
    diagnose::{Diagnosis, EndHow, origin::OriginError},
    exit::DONE,
    sinks::{
        access::Access,
        http::{Web, serve},
        metrics::Metrics,
        stream::Format,
        writer::Writer,
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
    let access = Arc::new(Access::load(config.web_config.as_deref())?);
    // Bound first: a second instance, or a taken port, must not attach anything.
    let listener = TcpListener::bind(config.listen).await.with_context(|| taken(&config))?;
    if let Some(why) = access.exposure().filter(|_| !config.listen.ip().to_canonical().is_loopback()) {
        warn!("listening on {} without TLS: {why}; see --web-config", config.listen);
    }
    let mut agent = Agent::start(&config.settings, ranges)?;
    // After the agent has given up privileges, which the writers' threads must not keep: what opens now, opens at
    // SIGHUP, too.
    let outputs = outputs(&config)?;
    let counter = |output: &Option<Writer>| output.as_ref().map_or_else(Arc::default, Writer::shed);
    let lost: Vec<_> = outputs.iter().map(|(place, output)| (*place, counter(output))).collect();
    let shared = agent.shared();
    let metrics = Metrics::new(Arc::new(move || {
        let mut snapshot = shared.snapshot();
        snapshot.lost.extend(lost.iter().map(|(place, lost)| (*place, lost.load(Ordering::Relaxed))));
        snapshot
    }))?;
    let web = Arc::new(Web::new(metrics, agent.summary()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, Arc::clone(&web), Arc::clone(&access), async {
        let _sender_gone = stopped.await;
    }));
    web.set_ready(true);
    info!("ready; listening on {}://{}; {}", access.scheme(), config.listen, agent.ready());
    notify(&[sd_notify::NotifyState::Ready]);
    let events = outputs.into_iter().filter_map(|(_, output)| output).collect();
    let is_watched = sd_notify::watchdog_enabled().is_some();
    let mut sink = DaemonSink { web: Arc::clone(&web), events, is_watched };
    let reload = || {
        let config = args.check()?;
        // All is read before any of it is used.
        config.settings.edge_ranges()?;
        access.reload(config.web_config.as_deref())?;
        Ok(config.settings)
    };
    let ended = agent.run(&mut sink, std::future::pending(), &reload).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    drop(agent);
    web.set_ready(false);
    let _already_gone = stop.send(());
    let _ = server.await;
    let ended = ended?;
    match Writer::close(sink.events) {
        Err(error) if ended != Ended::BrokenPipe && error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing a failure")
        }
        _ => Ok(DONE),
    }
}

/// Where events go, by the name that their losses have.
fn outputs(config: &RunConfig) -> Result<Vec<(&'static str, Option<Writer>)>> {
    let open = |target| Writer::open(target, Format::Json).with_context(|| format!("opening {target}"));
    let targets = [("events", config.events.as_ref()), ("journal", config.journald.then_some(&Target::Journal))];
    targets.into_iter().map(|(place, target)| Ok((place, target.map(open).transpose()?))).collect()
}

fn taken(config: &RunConfig) -> String {
    format!("listening on {}: is another tracer running? choose another address with --listen", config.listen)
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("notifying systemd: {error}");
    }
}

struct DaemonSink {
    web: Arc<Web>,
    events: Vec<Writer>,
    /// systemd wants to hear that the event loop turns.
    is_watched: bool,
}

impl Sink for DaemonSink {
    fn failure(&mut self, diagnosis: &Diagnosis) {
        self.web.record(diagnosis);
        self.events.iter().for_each(|events| events.write(diagnosis));
    }

    fn origin_error(&mut self, error: &OriginError, in_detail: bool) {
        self.web.metrics().origin_error(error);
        if in_detail {
            self.web.show_origin(error);
            self.events.iter().for_each(|events| events.write_origin(error));
        }
    }

    fn process_end(&mut self, process: &str, how: EndHow) {
        self.web.metrics().process_end(process, how);
    }

    fn oom_kill(&mut self, process: &str) {
        self.web.metrics().oom_kill(process);
    }

    fn reopen(&mut self) {
        self.events.iter().for_each(Writer::reopen);
    }

    fn alive(&mut self) {
        if self.is_watched {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    fn is_done(&mut self) -> io::Result<bool> {
        self.events.iter().find_map(Writer::failure).map_or(Ok(false), Err)
    }
}
