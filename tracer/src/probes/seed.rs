//! Connections that were open before the tracer: finds them in every network namespace, and their owners in /proc.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::Read as _,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf, Ebpf,
    maps::{HashMap, MapData},
    programs::{Iter, iter::IterLink},
};
use rustix::{
    io::Errno,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tracer_common::{Listener, ListenerKey, conn_flags};

use super::{connections::Connections, sockets::owners_of};

/// What was open before the tracer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Edge connections found.
    pub connections: u32,
    /// Network namespaces that could not be entered.
    pub closed_namespaces: u32,
    /// Pid and name of the process that holds a socket, by the socket's inode.
    pub owners: BTreeMap<u64, (u32, String)>,
}

/// Runs the iterator in each namespace and finds out who owns what it found.
pub(super) fn run(ebpf: &mut Ebpf, connections: &Connections, btf: &Btf) -> Result<Seeded> {
    let namespaces = namespaces();
    {
        let map = ebpf.map_mut("LISTENING").ok_or_else(|| anyhow!("no map LISTENING"))?;
        let mut listening: HashMap<&mut MapData, u16, u8> = HashMap::try_from(map)?;
        for port in listening_ports(&namespaces) {
            // More listeners than the table holds: connections to the rest stay unknown until they are new.
            if listening.insert(&port, &1, 0).is_err() {
                break;
            }
        }
    }
    let program: &mut Iter = ebpf.program_mut("seed_tcp").ok_or_else(|| anyhow!("no program seed_tcp"))?.try_into()?;
    program.load("tcp", btf).context("loading iterator tcp")?;
    let here = fs::metadata("/proc/self/ns/net").context("looking at the own network namespace")?.ino();
    let mut closed_namespaces = 0;
    for (inode, process) in &namespaces {
        let link = program.attach().context("attaching iterator tcp")?;
        let link = program.take_link(link)?;
        let Ok(namespace) = File::open(format!("/proc/{process}/ns/net")) else { continue };
        let elsewhere = (*inode != here).then_some(namespace);
        // A thread of its own: the iterator sees the namespace in which it is opened.
        let read = thread::spawn(move || iterate(link, elsewhere));
        if !read.join().map_err(|_| anyhow!("the seeding thread panicked"))?? {
            closed_namespaces += 1;
        }
    }
    name_listeners(ebpf)?;
    Ok(Seeded { closed_namespaces, ..own(ebpf, connections)? })
}

/// Runs the iterator, in this namespace if one is given. `false`: it may not be entered.
fn iterate(link: IterLink, namespace: Option<File>) -> Result<bool> {
    let kind = Some(LinkNameSpaceType::Network);
    match namespace.map_or(Ok(()), |namespace| move_into_link_name_space(namespace.as_fd(), kind)) {
        Err(Errno::PERM) => return Ok(false),
        entered => entered.context("entering a network namespace")?,
    }
    let mut file = link.into_file()?;
    let mut buffer = [0; 512];
    while file.read(&mut buffer).context("running iterator tcp")? > 0 {}
    Ok(true)
}

/// Finds the processes that listened before the tracer came: whose a connection is that nobody accepts.
fn name_listeners(ebpf: &mut Ebpf) -> Result<()> {
    let found = ebpf.map_mut("FOUND").ok_or_else(|| anyhow!("no map FOUND"))?;
    let found: HashMap<&mut MapData, ListenerKey, u64> = HashMap::try_from(found)?;
    let found: Vec<_> = found.iter().filter_map(Result::ok).collect();
    if found.is_empty() {
        return Ok(());
    }
    let owners = owners_of(&found.iter().map(|(_, inode)| *inode).collect());
    let listeners = ebpf.map_mut("LISTENERS").ok_or_else(|| anyhow!("no map LISTENERS"))?;
    let mut listeners: HashMap<&mut MapData, ListenerKey, Listener> = HashMap::try_from(listeners)?;
    for (key, inode) in &found {
        let Some((pid, name)) = owners.get(inode) else { continue };
        let mut listener = Listener { pid: *pid, ..Listener::default() };
        let len = name.len().min(listener.process.comm.len() - 1);
        listener.process.comm[..len].copy_from_slice(&name.as_bytes()[..len]);
        // Full: the rest stay without a name.
        if listeners.insert(key, &listener, 0).is_err() {
            break;
        }
    }
    Ok(())
}

/// One process per network namespace: its inode → a pid in it.
fn namespaces() -> BTreeMap<u64, i32> {
    let mut found = BTreeMap::new();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        if let Ok(spaces) = process.namespaces()
            && let Some(net) = spaces.0.get(std::ffi::OsStr::new("net"))
        {
            found.entry(net.identifier).or_insert(process.pid);
        }
    }
    found
}

/// Every port that somebody listens on, in any of the namespaces.
fn listening_ports(namespaces: &BTreeMap<u64, i32>) -> HashSet<u16> {
    let mut ports = HashSet::new();
    for pid in namespaces.values() {
        for table in ["tcp", "tcp6"] {
            // Fields: number, local address, remote address, state (0A: listening).
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            for line in text.lines().skip(1) {
                let fields: Vec<_> = line.split_ascii_whitespace().take(4).collect();
                if let [_, local, _, "0A"] = fields[..]
                    && let Some((_, port)) = local.rsplit_once(':')
                    && let Ok(port) = u16::from_str_radix(port, 16)
                {
                    ports.insert(port);
                }
            }
        }
    }
    ports
}

/// Counts the seeded connections and finds their owners.
fn own(ebpf: &mut Ebpf, connections: &Connections) -> Result<Seeded> {
    let mut seeded = Seeded::default();
    let mut sockets = HashSet::new();
    for conn in connections.all(ebpf)? {
        if conn.flags & conn_flags::SEEDED != 0 {
            seeded.connections += 1;
            sockets.insert(conn.inode.into());
        }
    }
    if !sockets.is_empty() {
        seeded.owners = owners_of(&sockets);
    }
    Ok(seeded)
}
