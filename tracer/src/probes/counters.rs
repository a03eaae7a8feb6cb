//! What the kernel counts, read at a scrape and never on a timer.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::ProgramFd,
};
use tracer_common::{Distributions, Listener, ListenerKey, Owner, PortCounts, limits, lost, unexplained};

use super::{Detail, Layout, Probe, object::take};
use crate::counts::{Distribution, PortCounters, ProbeCounters, Snapshot, TableUse, TlsCounters};

/// Handles on the kernel's counters.
pub struct Counters {
    ports: PerCpuArray<MapData, PortCounts>,
    distributions: PerCpuArray<MapData, Distributions>,
    port_of: Array<MapData, u32>,
    resets_sent: PerCpuArray<MapData, u64>,
    resets_received: PerCpuArray<MapData, u64>,
    lost: PerCpuArray<MapData, u64>,
    stood_in: PerCpuArray<MapData, u64>,
    tls_connections: PerCpuArray<MapData, u64>,
    tls_hits: PerCpuArray<MapData, u64>,
    untold: PerCpuArray<MapData, u64>,
    owners: HashMap<MapData, u32, Owner>,
    listeners: HashMap<MapData, ListenerKey, Listener>,
    rst_reasons: Vec<Option<String>>,
    /// Each with its program, and with its twin where that is attached.
    probes: Vec<(Probe, Vec<ProgramFd>)>,
    details: [Detail; 3],
    /// A task can lose the CPU in the middle of a tracepoint's program.
    preempted: bool,
}

impl Counters {
    pub(super) fn new(ebpf: &mut Ebpf, layout: &Layout, probes: &[Probe]) -> Result<Self> {
        let rst_reasons =
            (0..limits::RESET_REASONS - 1).map(|reason| layout.rst_reason(reason).map(str::to_owned)).collect();
        let probes = probes
            .iter()
            .map(|probe| {
                let names = [Some(probe.hook.name), probe.hook.twin(layout.preempted).map(|twin| twin.name)]
                    .into_iter()
                    .flatten();
                let programs = names.filter_map(|name| ebpf.program(name)).filter(|_| probe.attached());
                (probe.clone(), programs.filter_map(|program| program.fd().ok()?.try_clone().ok()).collect())
            })
            .collect();
        Ok(Self {
            ports: PerCpuArray::try_from(take(ebpf, "PORT_COUNTS")?)?,
            distributions: PerCpuArray::try_from(take(ebpf, "DISTRIBUTIONS")?)?,
            port_of: Array::try_from(take(ebpf, "PORT_OF")?)?,
            resets_sent: PerCpuArray::try_from(take(ebpf, "RESETS_SENT")?)?,
            resets_received: PerCpuArray::try_from(take(ebpf, "RESETS_RECEIVED")?)?,
            lost: PerCpuArray::try_from(take(ebpf, "LOST")?)?,
            stood_in: PerCpuArray::try_from(take(ebpf, "STOOD_IN")?)?,
            tls_connections: PerCpuArray::try_from(take(ebpf, "TLS_CONNECTIONS")?)?,
            tls_hits: PerCpuArray::try_from(take(ebpf, "TLS_HITS")?)?,
            untold: PerCpuArray::try_from(take(ebpf, "UNTOLD")?)?,
            owners: HashMap::try_from(take(ebpf, "OWNERS")?)?,
            listeners: HashMap::try_from(take(ebpf, "LISTENERS")?)?,
            rst_reasons,
            probes,
            details: layout.details(),
            preempted: layout.preempted,
        })
    }

    /// All counters as they are now; ranges and userspace's own losses are for the caller.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let ports = self.ports()?;
        let open = ports.iter().map(|port| port.open).sum();
        Ok(Snapshot {
            resets_sent: self.resets_sent()?,
            resets_received: sum(&self.resets_received, 0)?,
            lost: vec![
                ("ring_buffer", sum(&self.lost, lost::RING)?),
                ("connection_table", sum(&self.lost, lost::CONNECTIONS)?),
                ("owner_table", sum(&self.lost, lost::OWNERS)?),
                ("head_table", sum(&self.lost, lost::HEADS)?),
                ("origin_errors", sum(&self.lost, lost::ORIGIN_ERRORS)?),
                ("tls_questions", sum(&self.lost, lost::QUESTIONS)?),
                ("tls_keys", sum(&self.lost, lost::TLS_KEYS)? + sum(&self.lost, lost::TLS_LABELS)?),
                ("recursion", self.skipped()),
            ],
            lost_failures: (lost::FAILURES..)
                .zip(unexplained::STATUSES)
                .map(|(slot, status)| Ok((status, sum(&self.lost, slot)?)))
                .collect::<Result<_>>()?,
            unexplained_origin_errors: self.untold()?,
            probes: self.probe_counters(),
            tables: vec![
                TableUse { name: "connections", entries: open, capacity: limits::CONNECTIONS.into() },
                TableUse {
                    name: "owners",
                    entries: self.owners.keys().count() as u64,
                    capacity: limits::OWNERS.into(),
                },
                TableUse { name: "ports", entries: ports.len() as u64, capacity: limits::PORTS.into() },
            ],
            ports,
            ..Snapshot::default()
        })
    }

    /// Answers of 5xx of which no record was made, by status.
    fn untold(&self) -> Result<BTreeMap<u16, u64>> {
        let mut untold = BTreeMap::new();
        for (slot, status) in (0..limits::ORIGIN_STATUSES).zip(500..) {
            let count = sum(&self.untold, slot)?;
            if count > 0 {
                untold.insert(status, count);
            }
        }
        Ok(untold)
    }

    /// Connections inside TLS without secrets and with, and the hits of the probes.
    pub fn tls(&self) -> Result<TlsCounters> {
        Ok(TlsCounters {
            without_keys: sum(&self.tls_connections, 0)?,
            with_keys: sum(&self.tls_connections, 1)?,
            hits: sum(&self.tls_hits, 0)?,
            ..TlsCounters::default()
        })
    }

    /// The programs, and the arguments that only newer kernels give them.
    fn probe_counters(&self) -> Vec<ProbeCounters> {
        let details = self.details.iter().map(|detail| ProbeCounters {
            name: detail.name.to_owned(),
            attached: detail.present,
            ..ProbeCounters::default()
        });
        let programs = self.probes.iter().map(|(probe, programs)| ProbeCounters {
            skipped: self.skipped_by(probe, programs),
            ..probe_counters(probe, programs)
        });
        programs.chain(details).collect()
    }

    /// Processes that hold or held edge connections and have not ended: tgid and name.
    pub fn owners(&self) -> impl Iterator<Item = (u32, Owner)> + '_ {
        self.owners.iter().filter_map(Result::ok)
    }

    /// Processes that listen, each once for every port.
    pub fn listeners(&self) -> impl Iterator<Item = Listener> + '_ {
        self.listeners.iter().filter_map(Result::ok).map(|(_, listener)| listener)
    }

    /// Ports that are listened on, with the name of the process; a port once for every network namespace.
    pub fn listening(&self) -> impl Iterator<Item = (u16, String)> + '_ {
        self.listeners.iter().filter_map(Result::ok).filter_map(|(key, listener)| {
            let comm = listener.process.comm.split(|byte| *byte == 0).next().unwrap_or_default();
            Some((u16::try_from(key.port).ok()?, String::from_utf8_lossy(comm).into_owned()))
        })
    }

    /// Exchanges seen so far, over all ports.
    pub fn exchanges(&self) -> u64 {
        self.ports().map_or(0, |ports| ports.iter().map(|port| port.exchanges).sum())
    }

    /// Records lost so far in the kernel.
    pub fn lost(&self) -> u64 {
        (0..lost::SLOTS).map(|slot| sum(&self.lost, slot).unwrap_or(0)).sum::<u64>() + self.skipped()
    }

    /// Runs that the kernel skipped because the same program was already under way on that CPU, and in which no twin
    /// stood in.
    fn skipped(&self) -> u64 {
        self.probes.iter().filter_map(|(probe, programs)| self.skipped_by(probe, programs)).sum()
    }

    /// Those of one hook. `None` where the kernel does not say.
    fn skipped_by(&self, probe: &Probe, programs: &[ProgramFd]) -> Option<u64> {
        let missed = fdinfo(programs.first()?, "recursion_misses")?;
        let Some(twin) = probe.hook.twin(true).filter(|_| programs.len() > 1) else { return Some(missed) };
        // One of the two has always run.
        if !self.preempted {
            return Some(0);
        }
        Some(missed.saturating_sub(sum(&self.stood_in, twin.slot).unwrap_or(0)))
    }

    fn ports(&self) -> Result<Vec<PortCounters>> {
        let named = (0..limits::PORTS).filter_map(|slot| {
            let port = self.port_of.get(&slot, 0).ok().and_then(|port| u16::try_from(port).ok());
            port.filter(|port| *port != 0).map(|port| (slot, Some(port)))
        });
        let mut ports = Vec::new();
        for (slot, port) in named.chain([(limits::PORTS, None)]) {
            let cpus = self.ports.get(&slot, 0).context("reading the port counters")?;
            let total = |of: fn(&PortCounts) -> u64| cpus.iter().map(of).sum::<u64>();
            let (ipv4, ipv6) = (total(|cpu| cpu.connections_ipv4), total(|cpu| cpu.connections_ipv6));
            let (overflows, drops) = (total(|cpu| cpu.queue_overflows), total(|cpu| cpu.firewall_drops));
            if port.is_some() || ipv4 + ipv6 + overflows + drops > 0 {
                let (first_byte, header_bytes) = self.distributions(slot)?;
                ports.push(PortCounters {
                    port,
                    connections_ipv4: ipv4,
                    connections_ipv6: ipv6,
                    exchanges: total(|cpu| cpu.exchanges),
                    open: (ipv4 + ipv6).saturating_sub(total(|cpu| cpu.closed)),
                    first_byte,
                    header_bytes,
                    accept_queue_overflows: overflows,
                    firewall_drops: drops,
                });
            }
        }
        Ok(ports)
    }

    /// Time to the first byte, in seconds, and size of the header section, in bytes.
    fn distributions(&self, slot: u32) -> Result<(Distribution, Distribution)> {
        let cpus = self.distributions.get(&slot, 0).context("reading the distributions")?;
        let mut first_byte = Distribution { counts: vec![0; limits::FIRST_BYTE_BOUNDS_NS.len() + 1], sum: 0.0 };
        let mut header = Distribution { counts: vec![0; limits::HEADER_BOUNDS.len() + 1], sum: 0.0 };
        let add = |into: &mut Distribution, counts: &[u64]| {
            for (sum, count) in into.counts.iter_mut().zip(counts) {
                *sum += count;
            }
        };
        let (mut nanos, mut bytes) = (0_u64, 0_u64);
        for cpu in cpus.iter() {
            add(&mut first_byte, &cpu.first_byte);
            add(&mut header, &cpu.header);
            nanos = nanos.saturating_add(cpu.first_byte_ns);
            bytes = bytes.saturating_add(cpu.header_bytes);
        }
        first_byte.sum = Duration::from_nanos(nanos).as_secs_f64();
        header.sum = bytes as f64;
        Ok((first_byte, header))
    }

    fn resets_sent(&self) -> Result<Vec<(String, u64)>> {
        let mut resets = vec![("unknown".to_owned(), sum(&self.resets_sent, limits::RESET_REASONS - 1)?)];
        for (reason, name) in (0..).zip(&self.rst_reasons) {
            let count = sum(&self.resets_sent, reason)?;
            match name {
                Some(name) if count > 0 => resets.push((name.clone(), count)),
                None => resets[0].1 += count,
                Some(_) => {}
            }
        }
        Ok(resets)
    }
}

fn sum(array: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64> {
    Ok(array.get(&index, 0).context("reading a counter")?.iter().sum())
}

/// Runs and time of a program, where `kernel.bpf_stats_enabled` lets the kernel measure them.
fn probe_counters(probe: &Probe, programs: &[ProgramFd]) -> ProbeCounters {
    let total = |name| programs.iter().filter_map(|fd| fdinfo(fd, name)).reduce(|a, b| a + b);
    let runs = total("run_cnt").filter(|runs| *runs > 0);
    ProbeCounters {
        name: probe.hook.name.to_owned(),
        attached: probe.attached(),
        runs,
        nanos: runs.and_then(|_| total("run_time_ns")),
        ..ProbeCounters::default()
    }
}

/// A number that the kernel shows of one of our programs.
fn fdinfo(program: &ProgramFd, name: &str) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}
