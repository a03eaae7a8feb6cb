//! Loads and attaches the kernel programs. Nothing is pinned: when the process goes, so does everything in the kernel.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, LpmTrie, MapData, Stack, lpm_trie::Key},
};
use aya_log::EbpfLogger;
use ipnet::IpNet;
use log::debug;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::unix::AsyncFd;
use tracer_common::limits;

use super::{
    BTF_PATH, Counters, Depth, Layout, LoadError, Netfilter, Probe, Records, Seeded, Sweep, attach,
    btf::Btf,
    connections::Connections,
    error::untraceable,
    object::{OBJECT, take},
    offsets::{Places, places},
    proc, seed, sweep, tls,
};
use crate::{diagnose::Held, edge::EdgeRanges};

/// Where secrets inside TLS come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSources {
    /// Probes in the servers' libraries.
    pub probes: bool,
    /// A key log.
    pub keylog: Option<PathBuf>,
}

impl TlsSources {
    /// Whether there is any.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.probes || self.keylog.is_some()
    }
}

/// The kernel side: keeps the programs attached while it lives.
pub struct Kernel {
    ebpf: Ebpf,
    ranges: LpmTrie<MapData, [u8; 16], u8>,
    ports: HashMap<MapData, u16, u8>,
    /// Until the sweep has it.
    connections: Option<Connections>,
    /// Names and numbers of the running kernel's types, until all is attached.
    btf: Option<aya::Btf>,
    pub layout: Layout,
    pub probes: Vec<Probe>,
}

impl Kernel {
    /// Loads the programs and fills their tables; nothing is attached yet. `tls`: where secrets inside TLS will come
    /// from.
    ///
    /// # Errors
    /// [`LoadError`] where the host lacks privilege, BTF or BPF.
    pub fn load(tls: &TlsSources) -> Result<Self> {
        let (layout, btf) = read_types()?;
        let mut loader = EbpfLoader::new();
        let has_rst_reason = u8::from(layout.has_rst_reason);
        let (twinned, preempted) = (super::twinned(layout.preempted), u8::from(layout.preempted));
        let victim_is_task = u8::from(layout.victim_is_task);
        let (repair, repair_bit) = layout.repair.unwrap_or((0, 0));
        let (acked, acked_bit) = layout.acked.unwrap_or((0, 0));
        let (has_drop_reason, netfilter_drop, places) = match &layout.netfilter {
            Netfilter::Reason(number) => (1_u8, *number, Places::default()),
            Netfilter::Location(places) => (0, 0, places.clone()),
            Netfilter::Unknown(_) => (0, 0, Places::default()),
        };
        let no_socket = layout.no_socket.unwrap_or(0);
        for (name, offset) in &layout.offsets {
            loader.override_global(name, offset, true);
        }
        let (has_sight, has_keylog) = (u8::from(tls.any()), u8::from(tls.keylog.is_some()));
        let trail_records = trail_records();
        let log_level = if log::log_enabled!(log::Level::Debug) { aya_log::Level::Debug as u8 } else { 0 };
        loader
            .override_global("HAS_RST_REASON", &has_rst_reason, true)
            .override_global("VICTIM_IS_TASK", &victim_is_task, true)
            .override_global("TWINNED", &twinned, true)
            .override_global("PREEMPTED", &preempted, true)
            .override_global("OFF_TCP_REPAIR", &repair, true)
            .override_global("REPAIR_BIT", &repair_bit, true)
            .override_global("OFF_IREQ_ACKED", &acked, true)
            .override_global("ACKED_BIT", &acked_bit, true)
            .override_global("HAS_DROP_REASON", &has_drop_reason, true)
            .override_global("NETFILTER_DROP", &netfilter_drop, true)
            .override_global("NO_SOCKET", &no_socket, true)
            .override_global("NETFILTER_FROM", &places.nf_hook_slow.start, true)
            .override_global("NETFILTER_TO", &places.nf_hook_slow.end, true)
            .override_global("TCP4_FROM", &places.tcp_v4_rcv.start, true)
            .override_global("TCP4_TO", &places.tcp_v4_rcv.end, true)
            .override_global("TCP6_FROM", &places.tcp_v6_rcv.start, true)
            .override_global("TCP6_TO", &places.tcp_v6_rcv.end, true)
            .override_global("TRAIL_RECORDS", &trail_records, true)
            .override_global("TLS_SIGHT", &has_sight, true)
            .override_global("TLS_KEYLOG", &has_keylog, true)
            .override_global(aya_log::LEVEL, &log_level, false);
        if !tls.any() {
            for name in ["HANDSHAKES", "READING", "KEYS", "TRAILS", "SPOKEN"] {
                loader.map_max_entries(name, 1);
            }
        }
        lift_memory_limit();
        let mut ebpf = loader.load(OBJECT).map_err(|error| untraceable(&error))?;
        let ranges = LpmTrie::try_from(take(&mut ebpf, "RANGES")?)?;
        let ports = HashMap::try_from(take(&mut ebpf, "WATCHED_PORTS")?)?;
        fill_spare_heads(&mut ebpf)?;
        let connections = Some(Connections::new(&mut ebpf)?);
        Ok(Self { ebpf, ranges, ports, connections, btf: Some(btf), layout, probes: Vec::new() })
    }

    /// Puts these ranges in force, in place of those before.
    pub fn set_ranges(&mut self, edge: &EdgeRanges) -> Result<()> {
        let wanted: Vec<Key<[u8; 16]>> = edge.iter().map(key_of).collect();
        let same = |a: &Key<[u8; 16]>, b: &Key<[u8; 16]>| a.prefix_len() == b.prefix_len() && a.data() == b.data();
        let present: Vec<_> = self.ranges.keys().collect::<Result<_, _>>().context("reading the range table")?;
        // New ranges first, so that no address that stays an edge is a stranger for a moment.
        for key in &wanted {
            self.ranges.insert(key, &1, 0).with_context(|| {
                format!("{} edge ranges do not fit into the kernel's table of {}", wanted.len(), limits::RANGES)
            })?;
        }
        for key in present.iter().filter(|old| !wanted.iter().any(|new| same(old, new))) {
            self.ranges.remove(key).context("removing an edge range")?;
        }
        Ok(())
    }

    /// Watches these local ports; none means every port.
    pub fn set_ports(&mut self, ports: &[u16]) -> Result<()> {
        let wanted = if ports.is_empty() { &[0][..] } else { ports };
        let present: Vec<u16> = self.ports.keys().collect::<Result<_, _>>().context("reading the port table")?;
        for port in wanted {
            self.ports.insert(port, &1, 0).with_context(|| format!("watching port {port}"))?;
        }
        for port in present.iter().filter(|port| !wanted.contains(port)) {
            self.ports.remove(port).context("removing a watched port")?;
        }
        Ok(())
    }

    /// Attaches every hook that this host has; the rest is written down as missing.
    ///
    /// # Errors
    /// [`LoadError`] where an essential hook can't be attached.
    pub fn attach(&mut self, depth: Depth) -> Result<()> {
        let btf = self.btf.take().ok_or_else(|| anyhow!("the hooks can be attached once"))?;
        self.probes = attach::all(&mut self.ebpf, &self.layout, depth, &btf)?;
        self.btf = Some(btf);
        Ok(())
    }

    /// Whether what is sent and received on unix sockets is seen. Call after [`Kernel::attach`].
    #[must_use]
    pub fn sees_unix(&self) -> bool {
        let attached = |name| self.probes.iter().any(|probe| probe.hook.name == name && probe.attached());
        attached("sock_send_length") && attached("sock_recv_length")
    }

    /// Learns the edge connections that are already open. Call after [`Kernel::attach`].
    ///
    /// # Errors
    /// Where the kernel refuses the iterator: connections that are open now then stay unknown.
    pub fn seed(&mut self) -> Result<Seeded> {
        let btf = self.btf.take().ok_or_else(|| anyhow!("connections can be learned once, after attaching"))?;
        let connections = self.connections.as_ref().ok_or_else(|| anyhow!("the sweep has the table"))?;
        seed::run(&mut self.ebpf, connections, &btf)
    }

    /// The stream of records. Taken once.
    pub fn records(&mut self) -> Result<Records> {
        Records::new(take(&mut self.ebpf, "RECORDS")?)
    }

    /// The kernel's counters and tables. Taken once.
    pub fn counters(&mut self) -> Result<Counters> {
        Counters::new(&mut self.ebpf, &self.layout, &self.probes)
    }

    /// What looks for timeouts. Taken once, after [`Kernel::seed`].
    pub fn sweep(&mut self) -> Result<Sweep> {
        let connections = self.connections.take().ok_or_else(|| anyhow!("the sweep can be taken once"))?;
        Sweep::new(&mut self.ebpf, connections, proc::clock().tick_ns)
    }

    /// Looks for timeouts once.
    pub fn look(&mut self, sweep: &mut Sweep, now_ns: u64) {
        sweep.look(&mut self.ebpf, now_ns);
    }

    /// Who holds the accepted connections of this port; `None`: too many are open to go through them.
    pub fn held(&mut self, sweep: &Sweep, netns: u32, port: u16) -> Option<Held> {
        sweep.held(&mut self.ebpf, netns, port)
    }

    /// Does what the agent does all the time, without effect: reads a table and runs a program. Call after
    /// [`Kernel::sweep`].
    ///
    /// # Errors
    /// Where the kernel wants more privilege for it than this thread has.
    pub fn use_once(&mut self) -> Result<()> {
        self.ranges.keys().next().transpose().context("reading the range table")?;
        sweep::use_once(&mut self.ebpf)
    }

    /// Loads the programs for probes in TLS libraries, and starts the process that attaches them, which has the
    /// privileges of this thread. Call after [`Kernel::attach`], before [`Kernel::seed`].
    pub fn load_tls(&mut self) -> Result<tls::attach::Programs> {
        let btf = self.btf.as_ref().ok_or_else(|| anyhow!("the types of the kernel are gone"))?;
        tls::attach::Programs::load(&mut self.ebpf, btf)
    }

    /// The secrets of edge connections. Taken once.
    pub fn secrets(&mut self) -> Result<tls::secrets::Secrets> {
        tls::secrets::Secrets::new(&mut self.ebpf)
    }

    /// The last records of connections that may speak HTTP/2. Taken once.
    pub fn trails(&mut self) -> Result<tls::trails::Trails> {
        tls::trails::Trails::new(&mut self.ebpf)
    }

    /// The sizes of answers inside TLS that were errors. Taken once.
    pub fn error_sizes(&mut self) -> Result<tls::sizes::ErrorSizes> {
        tls::sizes::ErrorSizes::new(&mut self.ebpf)
    }

    /// Removes the secrets of connections that are over.
    pub fn forget_secrets(&mut self, sweep: &Sweep, secrets: &mut tls::secrets::Secrets) -> Result<()> {
        secrets.forget_over(|| sweep.open(&mut self.ebpf))
    }

    /// Hands the kernel programs' debug lines to the log.
    pub fn log(&mut self) -> Result<AsyncFd<EbpfLogger<&'static dyn log::Log>>> {
        Ok(super::poll::log(EbpfLogger::init(&mut self.ebpf)?)?)
    }
}

/// How many TLS records of one packet are followed on connections that may speak HTTP/2. Before Linux 6.8 the verifier
/// keeps apart what later ones take for the same, and gives up on a longer loop.
fn trail_records() -> u32 {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version >= (6, 8) { 8 } else { 5 }
}

/// All places for heads are free.
fn fill_spare_heads(ebpf: &mut Ebpf) -> Result<()> {
    let map = ebpf.map_mut("SPARE_HEADS").ok_or_else(|| anyhow!("no map SPARE_HEADS"))?;
    let mut spare = Stack::<_, u64>::try_from(map)?;
    for number in 1..=u64::from(limits::POOLED_HEADS) {
        spare.push(&number, 0).context("filling the table of places for heads")?;
    }
    Ok(())
}

/// What the running kernel says of its types.
fn read_types() -> Result<(Layout, aya::Btf)> {
    let data = fs::read(BTF_PATH).map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::NotFound => {
                "the kernel must be built with CONFIG_DEBUG_INFO_BTF (Debian 11+, Ubuntu 20.10+, RHEL 8.2+ are), \
                 and /sys must be mounted"
            }
            _ => "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
        };
        LoadError(format!("reading {BTF_PATH}: {error}: {mend}"))
    })?;
    let refuse = |error| LoadError(format!("{BTF_PATH}: {error}: this kernel is not supported"));
    let btf = Btf::parse(data, &Layout::names()).map_err(refuse)?;
    let mut layout = Layout::resolve(&btf).map_err(refuse)?;
    if matches!(layout.netfilter, Netfilter::Unknown(_))
        && let Some(places) = fs::read_to_string("/proc/kallsyms").ok().as_deref().and_then(places)
    {
        layout.netfilter = Netfilter::Location(places);
    }
    let names = aya::Btf::parse(&btf.skeleton(), aya::Endianness::default()).map_err(|error| untraceable(&error))?;
    Ok((layout, names))
}

/// The key of a range in the kernel's trie: IPv4 in its mapped form.
fn key_of(net: IpNet) -> Key<[u8; 16]> {
    match net {
        IpNet::V4(net) => Key::new(u32::from(net.prefix_len()) + 96, net.network().to_ipv6_mapped().octets()),
        IpNet::V6(net) => Key::new(u32::from(net.prefix_len()), net.network().octets()),
    }
}

/// Before 5.11 maps count against the limit of locked memory, 64 KiB by default. Later kernels do not look at it; where
/// it may not be lifted, the load says so.
fn lift_memory_limit() {
    let unlimited = Rlimit { current: None, maximum: None };
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        debug!("the limit of locked memory stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_range_is_keyed_in_its_mapped_form() {
        let key = key_of("173.245.48.0/20".parse().unwrap());
        assert_eq!((key.prefix_len(), key.data()[10..14].to_vec()), (116, vec![0xff, 0xff, 173, 245]));
    }
}
