//! `tracer ranges`: which addresses count as the edge.

use std::io::{self, Write};

use super::update;
use crate::cli::{RangesAction, RangesArgs};
use crate::config::RangesConfig;
use crate::edge::EdgeRanges;
use crate::exit::{DONE, NOT_EDGE};

/// Checks what was typed, then answers on standard output.
///
/// # Errors
/// Wrong use, or standard output can't be written to; for an update, see there.
pub fn main(args: &RangesArgs) -> anyhow::Result<u8> {
    if let Some(RangesAction::Update(typed)) = &args.action {
        return update::main(args, typed);
    }
    Ok(run(&args.check()?, &mut io::stdout().lock())?)
}

/// Lists the ranges or checks an address; gives the exit status. A reader that has left is a normal end.
///
/// # Errors
/// `out` can't be written to.
pub fn run(config: &RangesConfig, out: &mut dyn Write) -> io::Result<u8> {
    let done = match config.check {
        None => list(&config.ranges, out).map(|()| DONE),
        Some(ip) => {
            let (ip, range) = (ip.to_canonical(), config.ranges.range_of(ip));
            match range {
                Some(range) => writeln!(out, "{ip} is edge: {range}").map(|()| DONE),
                None => writeln!(out, "{ip} is not edge").map(|()| NOT_EDGE),
            }
        }
    };
    match done.and_then(|status| out.flush().map(|()| status)) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(DONE),
        done => done,
    }
}

fn list(ranges: &EdgeRanges, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}: {} IPv4, {} IPv6", ranges.source(), ranges.count_ipv4(), ranges.count_ipv6())?;
    ranges.iter().try_for_each(|range| writeln!(out, "{range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(check: Option<&str>) -> (u8, String) {
        let mut out = Vec::new();
        let check = check.map(|ip| ip.parse().unwrap());
        let status = run(&RangesConfig { ranges: EdgeRanges::builtin(), check }, &mut out).unwrap();
        (status, String::from_utf8(out).unwrap())
    }

    #[test]
    fn list_has_its_source_and_reads_back_as_itself() {
        let (status, text) = answer(None);
        assert_eq!(status, 0);
        assert_eq!(text.lines().next(), Some("# Cloudflare's published list of 2026-10-14, built in: 15 IPv4, 7 IPv6"));
        let again = EdgeRanges::parse(&text, "list").unwrap();
        assert!(again.iter().eq(EdgeRanges::builtin().iter()));
    }

    #[test]
    fn check_tells_the_range_or_that_there_is_none() {
        assert_eq!(answer(Some("173.245.48.10")), (0, "173.245.48.10 is edge: 173.245.48.0/20\n".into()));
        assert_eq!(answer(Some("::ffff:173.245.48.10")), (0, "173.245.48.10 is edge: 173.245.48.0/20\n".into()));
        assert_eq!(answer(Some("1.2.3.4")), (1, "1.2.3.4 is not edge\n".into()));
    }

    /// A pipe whose reader has left.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reader_that_leaves_is_a_normal_end() {
        let config = RangesConfig { ranges: EdgeRanges::builtin(), check: None };
        assert_eq!(run(&config, &mut Closed).unwrap(), 0);
    }
}
