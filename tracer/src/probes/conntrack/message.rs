//! The messages of ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`): asks for one tracked connection, and reads what
//! the kernel answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable as _, NLA_F_NESTED, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use rustix::io::Errno;

/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_GET` and, in the answer, `IPCTNL_MSG_CT_NEW`.
const GET: u16 = 0x0101;
const NEW: u16 = 0x0100;
/// `struct nfgenmsg`: address family, version, number of a resource.
const GENERIC: usize = 4;
/// As Linux numbers them.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
/// The kernel's errors are the numbers from here to -1.
const LAST_ERROR: i32 = -4095;

/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`: the addresses of its first packet, and those of the answers to it.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
/// `CTA_IP_V4_SRC`, and those that follow it.
const V4: [u16; 2] = [1, 2];
const V6: [u16; 2] = [3, 4];
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const NUMBER: u16 = 1;
const PORTS: [u16; 2] = [2, 3];

/// A connection as its socket has it, behind all translation. Both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// What the kernel answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The peer had connected to this address.
    Dialled(SocketAddr),
    /// No such connection is tracked.
    Unknown,
    /// It is not to be asked: no privilege, or not built for it.
    Refused(Errno),
    /// None to this question.
    Other,
}

/// The question for the connection whose answers go from the flow's local address to its peer.
pub(super) fn question(flow: &Flow, sequence: u32) -> Vec<u8> {
    let family = if flow.local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut bytes = vec![family, 0, 0, 0];
    bytes.extend(attribute(REPLY | NLA_F_NESTED, tuple(flow.local, flow.peer)));
    let mut header = NetlinkHeader::default();
    (header.flags, header.sequence_number) = (NLM_F_REQUEST, sequence);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(Bytes(bytes)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn tuple(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let octets = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    let kinds = if from.is_ipv4() { V4 } else { V6 };
    let addresses = [attribute(kinds[0], octets(from.ip())), attribute(kinds[1], octets(to.ip()))].concat();
    let port = |kind, addr: SocketAddr| attribute(kind, addr.port().to_be_bytes().to_vec());
    let protocol = [attribute(NUMBER, vec![TCP]), port(PORTS[0], from), port(PORTS[1], to)].concat();
    [attribute(ADDRESSES | NLA_F_NESTED, addresses), attribute(PROTOCOL | NLA_F_NESTED, protocol)].concat()
}

fn attribute(kind: u16, value: Vec<u8>) -> Vec<u8> {
    let attribute = DefaultNla::new(kind, value);
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

/// What a datagram of the kernel's says to the question with this number.
pub(super) fn answer(datagram: &[u8], flow: &Flow, sequence: u32) -> Answer {
    let Ok(message) = NetlinkMessage::<Bytes>::deserialize(datagram) else { return Answer::Other };
    if message.header.sequence_number != sequence {
        return Answer::Other;
    }
    match message.payload {
        NetlinkPayload::InnerMessage(Bytes(bytes)) if message.header.message_type == NEW => {
            dialled(&bytes, flow).map_or(Answer::Unknown, Answer::Dialled)
        }
        NetlinkPayload::Error(error) => match error.code.map_or(0, |code| code.get()) {
            code @ LAST_ERROR..0 if Errno::from_raw_os_error(-code) == Errno::NOENT => Answer::Unknown,
            code @ LAST_ERROR..0 => Answer::Refused(Errno::from_raw_os_error(-code)),
            _ => Answer::Other,
        },
        _ => Answer::Other,
    }
}

/// To which address the first packet of the flow went, if the entry is the flow's.
fn dialled(bytes: &[u8], flow: &Flow) -> Option<SocketAddr> {
    let attributes = bytes.get(GENERIC..)?;
    let (from, to) = ends(value(attributes, ORIGINAL)?)?;
    let reply = ends(value(attributes, REPLY)?)?;
    (from == flow.peer && reply == (flow.local, flow.peer)).then_some(to)
}

/// From where and to where the packets of one direction go.
fn ends(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (addresses, protocol) = (value(tuple, ADDRESSES)?, value(tuple, PROTOCOL)?);
    if value(protocol, NUMBER)? != [TCP] {
        return None;
    }
    let end = |index: usize| {
        let addr = match value(addresses, V4[index]) {
            Some(octets) => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
            None => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(value(addresses, V6[index])?).ok()?)),
        };
        let port = u16::from_be_bytes(value(protocol, PORTS[index])?.try_into().ok()?);
        Some(SocketAddr::new(addr, port))
    };
    Some((end(0)?, end(1)?))
}

/// The value of the first attribute of this kind.
fn value(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = NlasIterator::new(attributes).map_while(Result::ok).find(|attribute| attribute.kind() == kind)?;
    found.into_inner().get(4..usize::from(found.length()))
}

/// What stands behind the header.
struct Bytes(Vec<u8>);

impl NetlinkSerializable for Bytes {
    fn message_type(&self) -> u16 {
        GET
    }

    fn buffer_len(&self) -> usize {
        self.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

impl NetlinkDeserializable for Bytes {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(payload.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(v6: bool) -> Flow {
        let (peer, local) =
            if v6 { ("[2400:cb00::10]:41234", "[fd00::2]:8443") } else { ("173.245.48.10:41234", "172.17.0.2:8443") };
        Flow { peer: peer.parse().unwrap(), local: local.parse().unwrap() }
    }

    /// An entry as the kernel tells it: the tuples among attributes of other kinds.
    fn entry(dialled: SocketAddr, from: SocketAddr, reply: (SocketAddr, SocketAddr), sequence: u32) -> Vec<u8> {
        let mut bytes = vec![AF_INET, 0, 0, 0];
        bytes.extend(attribute(ORIGINAL | NLA_F_NESTED, tuple(from, dialled)));
        bytes.extend(attribute(REPLY | NLA_F_NESTED, tuple(reply.0, reply.1)));
        bytes.extend(attribute(3, vec![0, 0, 1, 0x8e]));
        let mut header = NetlinkHeader::default();
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(Bytes(bytes)));
        message.finalize();
        message.header.message_type = NEW;
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn error(code: i32, sequence: u32) -> Vec<u8> {
        let head = [36_u32.to_ne_bytes(), [2, 0, 0, 0], sequence.to_ne_bytes(), [0; 4]];
        [&head.concat()[..], &code.to_ne_bytes(), &[0; 16]].concat()
    }

    #[test]
    fn the_address_that_was_dialled_is_read_for_either_family() {
        for (v6, dialled) in [(false, "203.0.113.5:443"), (true, "[2001:db8::5]:443")] {
            let (flow, dialled) = (flow(v6), dialled.parse().unwrap());
            let bytes = entry(dialled, flow.peer, (flow.local, flow.peer), 7);
            assert_eq!(answer(&bytes, &flow, 7), Answer::Dialled(dialled));
            assert_eq!(answer(&bytes, &flow, 8), Answer::Other, "the answer to another question");
        }
    }

    #[test]
    fn an_entry_of_another_connection_says_nothing() {
        let flow = flow(false);
        let (dialled, other) = ("203.0.113.5:443".parse().unwrap(), "203.0.113.9:1".parse().unwrap());
        for bytes in [
            entry(dialled, other, (flow.local, flow.peer), 1),
            entry(dialled, flow.peer, (other, flow.peer), 1),
            entry(dialled, flow.peer, (flow.local, other), 1),
        ] {
            assert_eq!(answer(&bytes, &flow, 1), Answer::Unknown);
        }
    }

    #[test]
    fn an_error_is_no_such_connection_or_a_refusal() {
        let flow = flow(false);
        assert_eq!(answer(&error(-2, 3), &flow, 3), Answer::Unknown);
        assert_eq!(answer(&error(-1, 3), &flow, 3), Answer::Refused(Errno::PERM));
        assert_eq!(answer(&error(-22, 3), &flow, 3), Answer::Refused(Errno::INVAL));
        for strange in [0, 5, i32::MIN] {
            assert_eq!(answer(&error(strange, 3), &flow, 3), Answer::Other, "{strange}");
        }
    }

    #[test]
    fn a_question_has_the_form_that_the_kernel_documents() {
        let bytes = question(&flow(false), 9);
        assert_eq!(bytes.len(), 72);
        assert_eq!(bytes[..8], [72, 0, 0, 0, 1, 1, 1, 0]);
        assert_eq!(bytes[8..16], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..24], [AF_INET, 0, 0, 0, 52, 0, 2, 0x80]);
        assert_eq!(bytes[24..44], [20, 0, 1, 0x80, 8, 0, 1, 0, 172, 17, 0, 2, 8, 0, 2, 0, 173, 245, 48, 10]);
        assert_eq!(bytes[44..56], [28, 0, 2, 0x80, 5, 0, 1, 0, 6, 0, 0, 0]);
        assert_eq!(bytes[56..72], [6, 0, 2, 0, 0x20, 0xfb, 0, 0, 6, 0, 3, 0, 0xa1, 0x12, 0, 0]);
    }

    #[test]
    fn no_prefix_and_no_wrong_byte_of_an_answer_is_a_panic_or_another_address() {
        let (flow, dialled) = (flow(false), "203.0.113.5:443".parse().unwrap());
        let whole = entry(dialled, flow.peer, (flow.local, flow.peer), 1);
        for len in 0..whole.len() {
            let told = answer(&whole[..len], &flow, 1);
            assert!(!matches!(told, Answer::Dialled(_)), "{len}: {told:?}");
        }
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _any = answer(&bytes, &flow, 1);
            }
        }
        for refused in [error(-2, 1), error(-1, 1)] {
            (0..refused.len()).for_each(|len| assert_eq!(answer(&refused[..len], &flow, 1), Answer::Other));
        }
    }
}
