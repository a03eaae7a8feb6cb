//! The trails of connections that may speak HTTP/2, as the kernel keeps them, and what the agent found them to speak.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use tracer_common::{
    Conn, KeysOf,
    trail::{Trail, spoken},
};

use super::secrets::name;
use crate::probes::object::take;

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

    /// The connection speaks HTTP/2; so many questions about it found a failure.
    pub fn speaks_http2(&mut self, conn: &Conn, found: u32) {
        self.tell(conn, spoken::HTTP2 | found.saturating_mul(spoken::FOUND));
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
