//! One line of iptables-save: its options as tests, its target as a verdict.

use super::super::addrs::AddrSet;
use super::super::rules::{Rule, SYN, Test, Verdict, World, never_unless, source_port, tcp_flag};
use super::sets::IpSets;
use super::text::{net, range};

/// Options that say nothing about whether a connection matches; each takes one value.
const IGNORED: [&str; 24] = [
    "-m",
    "--match",
    "--comment",
    "--limit-burst",
    "--hashlimit-burst",
    "--hashlimit-mode",
    "--hashlimit-name",
    "--hashlimit-srcmask",
    "--hashlimit-dstmask",
    "--hashlimit-htable-size",
    "--hashlimit-htable-max",
    "--hashlimit-htable-expire",
    "--hashlimit-htable-gcinterval",
    "--connlimit-mask",
    "--seconds",
    "--hitcount",
    "--name",
    "--mask",
    "-c",
    "--set-counters",
    "--nflog-group",
    "--nflog-prefix",
    "--mode",
    "--packet",
];
/// Such options without a value.
const FLAGS: [&str; 7] =
    ["--connlimit-saddr", "--connlimit-daddr", "--rsource", "--set", "--rttl", "--reap", "--hashlimit-rate-match"];
/// Targets that let a packet go on in its chain.
const GO_ON: [&str; 16] = [
    "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "NOTRACK", "SET", "TCPMSS", "TOS", "DSCP", "CLASSIFY", "TTL",
    "TRACE", "AUDIT", "CHECKSUM",
];

struct Line<'a> {
    words: &'a [String],
    at: usize,
    tests: Vec<Test>,
    verdict: Verdict,
    sets: &'a IpSets,
    world: &'a World,
}

pub(super) fn rule(words: &[String], text: String, sets: &IpSets, world: &World) -> Rule {
    let mut line = Line { words, at: 0, tests: Vec::new(), verdict: Verdict::Continue, sets, world };
    while line.option() {}
    Rule { text, tests: line.tests, verdict: line.verdict }
}

impl Line<'_> {
    fn next(&mut self) -> &str {
        let word = self.words.get(self.at).map(String::as_str).unwrap_or_default();
        self.at += 1;
        word
    }

    /// Reads one option with its values; false: there is none left.
    fn option(&mut self) -> bool {
        if self.at >= self.words.len() {
            return false;
        }
        let mut name = self.next().to_owned();
        let mut not = name == "!";
        if not {
            name = self.next().to_owned();
        }
        if matches!(name.as_str(), "-j" | "--jump" | "-g" | "--goto") {
            let target = self.next().to_owned();
            self.verdict = verdict(&target, name.starts_with("-g") || name == "--goto");
            // What follows belongs to the target.
            self.at = self.words.len();
            return false;
        }
        // A value of an option that is not known, which has made the rule opaque already, or a flag.
        if !name.starts_with('-') || FLAGS.contains(&name.as_str()) {
            return true;
        }
        if self.words.get(self.at).is_some_and(|word| word == "!") {
            self.at += 1;
            not = true;
        }
        if matches!(name.as_str(), "--syn" | "--rcheck" | "--update") {
            let test = if name == "--syn" { never_unless(!not) } else { Some(Test::Limit { over: true }) };
            self.tests.extend(test);
            return true;
        }
        if IGNORED.contains(&name.as_str()) {
            self.at += 1;
            return true;
        }
        let at = self.at;
        let value = self.next().to_owned();
        let test = self.test(&name, &value, not).unwrap_or_else(|| {
            // How many values it takes is not known: what follows is read as options again.
            self.at = at;
            Some(Test::Opaque(format!("`{name}`")))
        });
        self.tests.extend(test);
        true
    }

    /// `None`: not known here.
    fn test(&mut self, name: &str, value: &str, not: bool) -> Option<Option<Test>> {
        let from = |set: AddrSet| Some(if not { Test::NotFrom(set) } else { Test::From(set) });
        Some(match name {
            "-s" | "--source" => from(net(value)?),
            "--src-range" => from(range(value)?),
            "-d" | "--destination" => self.world.destination(&net(value)?, not),
            "--dst-range" => self.world.destination(&range(value)?, not),
            "-p" | "--protocol" => never_unless(matches!(value, "tcp" | "6" | "all" | "0") != not),
            "-i" | "--in-interface" => self.world.interface(&[value], not),
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" | "--ports" => {
                let ports = ports(value)?;
                Some(if not { Test::NotPort(ports) } else { Test::Port(ports) })
            }
            "--sport" | "--source-port" | "--sports" | "--source-ports" => source_port(&ports(value)?, not),
            "--ctstate" | "--state" => never_unless(value.split(',').any(|state| state == "NEW") != not),
            "--ctdir" => never_unless((value == "ORIGINAL") != not),
            "--tcp-flags" => {
                let wanted = self.next().to_owned();
                never_unless((SYN & flags(value)? == flags(&wanted)?) != not)
            }
            "--dst-type" => never_unless((value == "LOCAL") != not),
            "--src-type" => never_unless((value == "UNICAST") != not),
            "--limit" | "--hashlimit" | "--hashlimit-upto" | "--connlimit-upto" => Some(Test::Limit { over: not }),
            "--hashlimit-above" | "--connlimit-above" => Some(Test::Limit { over: !not }),
            "--probability" | "--every" => Some(Test::Limit { over: true }),
            "--match-set" => {
                let way = self.next().to_owned();
                match self.sets.get(value).and_then(Option::as_ref) {
                    Some(set) if way == "src" => from(set.clone()),
                    _ => Some(Test::Opaque(format!("ipset {value}"))),
                }
            }
            _ => return None,
        })
    }
}

fn verdict(target: &str, goto: bool) -> Verdict {
    match target {
        "ACCEPT" | "MASQUERADE" | "SNAT" => Verdict::Accept,
        "DROP" | "REJECT" | "TARPIT" => Verdict::Deny,
        "RETURN" => Verdict::Return,
        "DNAT" | "REDIRECT" | "TPROXY" | "NFQUEUE" | "SYNPROXY" | "NETMAP" | "QUEUE" => {
            Verdict::Divert(target.to_owned())
        }
        target if GO_ON.contains(&target) => Verdict::Continue,
        chain if goto => Verdict::Goto(chain.to_owned()),
        chain => Verdict::Jump(chain.to_owned()),
    }
}

/// `80,443,8000:8100`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let port = |text: &str, open| if text.is_empty() { Some(open) } else { text.parse().ok() };
    text.split(',')
        .map(|part| match part.split_once(':') {
            Some((first, last)) => Some((port(first, 0)?, port(last, u16::MAX)?)),
            None => part.parse().ok().map(|port| (port, port)),
        })
        .collect()
}

/// `SYN,RST`, `ALL` or `NONE`.
fn flags(text: &str) -> Option<u8> {
    match text {
        "ALL" => Some(0x3f),
        "NONE" => Some(0),
        names => names.split(',').try_fold(0, |all, name| Some(all | tcp_flag(name)?)),
    }
}
