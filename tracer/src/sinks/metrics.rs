#[derive(Clone, Debug, Default)] pub struct Snapshot { pub ports: Vec<PortCounters>, pub resets_sent: Vec<(String,u64)>, pub resets_received: u64, pub lost: Vec<(&'static str,u64)>, pub probes: Vec<ProbeCounters>, pub tables: Vec<TableUse>, pub ranges_ipv4: u64, pub ranges_ipv6: u64 }
  #[derive(Clone, Debug, Default)] pub struct PortCounters { pub port: Option<u16> , pub connections_ipv4: u64, pub connections_ipv6: u64, pub exchanges: u64, pub open: u64 }
  #[derive(Clone, Debug, Default)] pub struct ProbeCounters { pub name: String, pub attached: bool, pub runs: Option<u64>, pub nanos: Option<u64> }
  #[derive(Clone, Debug, Default)] pub struct TableUse { pub name: &'static str, pub entries: u64, pub capacity: u64 }
