//! All the threads of the driver: visitors of each server, and one thread for each scenario.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::book::Book;
use super::driver::Driver;
use super::edge::{Leave, Ports, Seen};
use super::rng::Rng;
use super::scenario::{FENCE, Scenario};
use super::server::{Server, VISITED};
use super::start::Servers;
use super::tls;
use lab::Lab;

/// Sound exchanges a second, all visitors together.
const SOUND_RATE: f64 = 150.0;
/// Scenarios a minute, all together.
const SCENARIO_RATE: f64 = 100.0;
/// Threads that visit one server.
const VISITORS: usize = 2;
/// Most sound exchanges on one connection.
const ON_ONE: usize = 40;

/// Everything that the threads share.
pub(super) struct Traffic<'a> {
    pub(super) lab: &'a Lab,
    pub(super) servers: &'a Servers,
    pub(super) tls: &'a tls::Edge,
    pub(super) book: &'a Book,
    pub(super) plan: &'a [&'static Scenario],
    pub(super) seed: u64,
}

/// Rings when the traffic is to end.
#[derive(Default)]
pub(super) struct Bell(Mutex<bool>, Condvar);

impl Bell {
    pub(super) fn ring(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    /// Waits until then; `false`: the bell rang.
    pub(super) fn wait_until(&self, then: Instant) -> bool {
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            rung = self.1.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

impl Traffic<'_> {
    /// Makes traffic while `watch` runs, which gets the bell to wait on; any error of either ends both.
    pub(super) fn run(&self, watch: impl FnOnce(&Bell) -> Result<()>) -> Result<()> {
        let bell = Bell::default();
        let ports = Ports::new(&mut Rng::new(self.seed, u64::MAX));
        let Self { book, servers, tls, seed, .. } = *self;
        let driver = |stream| Driver { book, ports: &ports, servers, tls, rng: Rng::new(seed, stream) };
        let visitors = VISITED.iter().flat_map(|&server| [server; VISITORS]);
        let mut jobs: Vec<Box<dyn FnOnce() -> Result<()> + Send>> = Vec::new();
        for (server, stream) in visitors.zip(0..) {
            let (driver, bell) = (driver(stream), &bell);
            jobs.push(Box::new(move || visitor(driver, server, bell)));
        }
        for (&scenario, stream) in self.plan.iter().zip(1000..) {
            let (driver, bell, period) = (driver(stream), &bell, self.period());
            jobs.push(Box::new(move || repeat(driver, scenario, period, bell)));
        }
        let done = self.join(jobs, &bell, watch);
        done.and_then(|()| self.lab.edge().inside(|| driver(u64::MAX - 1).provoke(&FENCE))?)
    }

    fn join<'scope>(
        &'scope self,
        jobs: Vec<Box<dyn FnOnce() -> Result<()> + Send + 'scope>>,
        bell: &'scope Bell,
        watch: impl FnOnce(&Bell) -> Result<()>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let run = |job: Box<dyn FnOnce() -> Result<()> + Send>| {
                scope.spawn(move || {
                    let done = self.lab.edge().inside(job).and_then(|done| done);
                    if done.is_err() {
                        bell.ring();
                    }
                    done
                })
            };
            let threads: Vec<_> = jobs.into_iter().map(run).collect();
            let watched = watch(bell);
            bell.ring();
            let mut done = watched;
            for thread in threads {
                let ended = thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the driver panicked")));
                done = done.and(ended);
            }
            done
        })
    }

    /// Between two plays of one scenario.
    fn period(&self) -> Duration {
        Duration::from_secs_f64(60.0 / SCENARIO_RATE).mul_f64(self.plan.len() as f64)
    }
}

/// Visits a server until the bell rings: connection after connection, sound exchange after sound exchange.
fn visitor(mut driver: Driver<'_>, server: &'static Server, bell: &Bell) -> Result<()> {
    let base = Duration::from_secs_f64((VISITED.len() * VISITORS) as f64 / SOUND_RATE);
    let mut next = Instant::now() + driver.rng.around(base, 0..100);
    while bell.wait_until(next) {
        let mut conn = driver.open(server)?;
        let count = if driver.rng.chance(40) { 1 } else { 1 + driver.rng.below(ON_ONE) };
        for nth in 0..count {
            // A connection that was opened is used: some origins don't accept it before its first byte.
            if nth > 0 && !bell.wait_until(next) {
                break;
            }
            next = Instant::now().max(next + driver.rng.around(base, 50..150));
            if !matches!(driver.visit(server, &mut conn)?, Seen::Whole(_)) || conn.closes {
                break;
            }
        }
        conn.leave(if driver.rng.chance(20) { Leave::Rst } else { Leave::Fin })?;
    }
    Ok(())
}

/// Plays a scenario now and then until the bell rings.
fn repeat(mut driver: Driver<'_>, scenario: &'static Scenario, period: Duration, bell: &Bell) -> Result<()> {
    let mut next = Instant::now() + driver.rng.around(period, 0..100);
    while bell.wait_until(next) {
        driver.provoke(scenario)?;
        next = Instant::now().max(next + driver.rng.around(period, 70..130));
    }
    Ok(())
}
