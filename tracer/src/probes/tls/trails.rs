//! The trails of connections that may speak HTTP/2, as the kernel keeps them, and what the agent found them to speak.

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, ProgramArray},
    programs::CgroupSkb,
};
use tracer_common::{
    Conn, KeysOf,
    trail::{Trail, spoken},
};

use super::secrets::name;
use crate::probes::object::take;

/// The programs that follow the packets of such connections, and the tables through which those at the root cgroup call
/// them. The tables are emptied by the kernel as the last descriptor of theirs goes.
const PROGRAMS: [(&str, &str); 2] = [("trail_in", "TRAIL_IN"), ("trail_out", "TRAIL_OUT")];

/// Loads these programs and lets them be called.
pub(in crate::probes) fn link(ebpf: &mut Ebpf) -> Result<()> {
    for (name, table) in PROGRAMS {
        let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut CgroupSkb = program.try_into()?;
        program.load().with_context(|| format!("loading {name}"))?;
        let file = program.fd()?.try_clone().with_context(|| format!("the descriptor of {name}"))?;
        let map = ebpf.map_mut(table).ok_or_else(|| anyhow!("no map {table}"))?;
        ProgramArray::try_from(map)?.set(0, &file, 0).with_context(|| format!("making {name} callable"))?;
    }
    Ok(())
}

/// What was found of a connection that speaks HTTP/2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub failures: u32,
    /// Sound responses end with a DATA frame without data.
    pub ends_apart: bool,
}

/// The kernel's tables.
pub struct Trails {
    trails: HashMap<MapData, KeysOf, Trail>,
    spoken: HashMap<MapData, KeysOf, u32>,
}

impl Trails {
    pub(in crate::probes) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            trails: HashMap::try_from(take(ebpf, "TRAILS")?)?,
            spoken: HashMap::try_from(take(ebpf, "SPOKEN")?)?,
        })
    }

    /// That of a connection. `None`: it has none any more.
    #[must_use]
    pub fn of(&self, conn: &Conn) -> Option<Box<Trail>> {
        self.trails.get(&name(conn), 0).ok().map(Box::new)
    }

    /// The connection speaks HTTP/2.
    pub fn speaks_http2(&mut self, conn: &Conn, found: Found) {
        let apart = if found.ends_apart { spoken::APART } else { 0 };
        let failures = found.failures.min(u32::MAX / spoken::FOUND / 2);
        self.tell(conn, spoken::HTTP2 | apart | (failures * spoken::FOUND));
    }

    /// The connection speaks something else.
    pub fn speaks_other(&mut self, conn: &Conn) {
        self.tell(conn, spoken::OTHER);
    }

    fn tell(&mut self, conn: &Conn, what: u32) {
        // Not told, the connection keeps its trail, and no stream's end is asked about.
        let _full = self.spoken.insert(&name(conn), &what, 0);
    }
}
