//! `tracer ranges update`: Cloudflare's published list, fetched or from a file, into the range file. Beside `probe` the
//! only command that opens a connection to the outside.

mod fetch;
mod reload;
mod replace;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::{Timestamp, Unit};

use crate::cli::{RangesArgs, UpdateArgs};
use crate::config::{Invalid, Origin, UpdateConfig, read_text};
use crate::edge::{EdgeRanges, published};
use crate::exit::DONE;
use fetch::Fetcher;

/// Checks what was typed, then updates.
///
/// # Errors
/// Wrong use, a list that can't be fetched or can't be true, a file that can't be written, a daemon that is none.
pub fn main(args: &RangesArgs, typed: &UpdateArgs) -> Result<u8> {
    let config = args.check_update(typed)?;
    let fetcher = match &config.origin {
        Origin::File(_) => None,
        Origin::Urls(_) => Some(Fetcher::new(config.ca_file.as_deref(), config.timeout)?),
    };
    run(&config, fetcher.as_ref(), &mut io::stdout().lock())
}

fn run(config: &UpdateConfig, fetcher: Option<&Fetcher>, out: &mut dyn Write) -> Result<u8> {
    // Asked first: a list that nobody takes over is not worth fetching.
    let daemon = config.reload.as_ref().map(reload::Daemon::find).transpose()?;
    let ranges = published::join(&lists(&config.origin, fetcher)?)?;
    let text = render(&ranges, Timestamp::now())?;
    let Some(path) = &config.output else { return print(out, &text) };
    let old = replaced(path);
    if let Some(old) = &old {
        published::succeeds(&ranges, old)?;
    }
    replace::replace(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    let mut told = format!("{}: {}", path.display(), change(&ranges, old.as_ref()));
    if let Some(daemon) = daemon {
        daemon.reload()?;
        write!(told, "; {daemon} told to reload")?;
    }
    told.push('\n');
    print(out, &told)
}

fn lists(origin: &Origin, fetcher: Option<&Fetcher>) -> Result<Vec<EdgeRanges>> {
    match (origin, fetcher) {
        (Origin::File(path), _) => {
            let name = path.display().to_string();
            let text = read_text(path).map_err(|why| Invalid::new(format!("--file: {name}: {why}")))?;
            Ok(vec![published::parse(&text, &name)?])
        }
        (Origin::Urls(urls), Some(fetcher)) => {
            urls.iter().map(|url| Ok(published::parse(&fetcher.get(url)?, url)?)).collect()
        }
        (Origin::Urls(_), None) => anyhow::bail!("nothing to fetch with"),
    }
}

/// The list that is replaced, if there is one that can be read.
fn replaced(path: &Path) -> Option<EdgeRanges> {
    EdgeRanges::parse(&read_text(path).ok()?, &path.display().to_string()).ok()
}

/// The file's text: where the ranges come from, and they.
fn render(ranges: &EdgeRanges, now: Timestamp) -> Result<String> {
    let now = now.round(Unit::Second).context("rounding the time")?;
    let mut text = format!("# {}, fetched {now}\n", ranges.source());
    for range in ranges.iter() {
        writeln!(text, "{range}")?;
    }
    Ok(text)
}

fn change(new: &EdgeRanges, old: Option<&EdgeRanges>) -> String {
    let mut text = format!("{} IPv4, {} IPv6 ranges", new.count_ipv4(), new.count_ipv6());
    if let Some(old) = old {
        let missing_in = |a: &EdgeRanges, b: &EdgeRanges| b.iter().filter(|x| !a.iter().any(|y| y == *x)).count();
        text.push_str(&format!("; {} new, {} gone", missing_in(old, new), missing_in(new, old)));
    }
    text
}

/// Writes to standard output. A reader that has left is a normal end.
fn print(out: &mut dyn Write, text: &str) -> Result<u8> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(DONE),
    }
}
