//! The landing page, as a browser shows it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lab::origin::{Mode, Spec};
use lab::{EDGE_A, EDGE_B, Lab, Seen, wait};
use serde_json::json;

use super::{LIMIT, saw};
use crate::agent::Agent;
use crate::browser::{Browser, size_of_png};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![the_page_reads_well_on_a_phone]
}

/// A path that would run, were it not escaped.
const MARKUP: &str = "/<script>document.title=1</script><img/src=/x/onerror=alert(1)>";
/// An image of nothing but background is smaller.
const BLANK: usize = 8 << 10;

fn the_page_reads_well_on_a_phone() -> Result<()> {
    let browser = Browser::start()?;
    let lab = Lab::new()?;
    let _http = lab.start_origin(&Spec::new(80), None)?;
    let _reset = lab.start_origin(&Spec::new(81).mode(Mode::CloseUnread), None)?;
    let mut agent = Agent::fresh(&[])?;
    saw(lab.get(EDGE_A, 80, "/empty")?, &[Seen::Empty])?;
    saw(lab.get(EDGE_B, 81, MARKUP)?, &[Seen::Reset])?;
    wait::until("both records", LIMIT, || Ok((agent.events()?.len() == 2).then_some(())))?;
    browser.visit(&format!("http://{}/", agent.listen()))?;
    let text = browser.run("return document.body.innerText")?;
    let text = text.as_str().context("no text")?;
    for shown in ["empty_reply", "closed_unread", MARKUP, env!("CARGO_PKG_VERSION")] {
        ensure!(text.contains(shown), "the page does not show {shown}:\n{text}");
    }
    let page = browser.run(
        "return {wide: document.documentElement.scrollWidth, scripts: document.scripts.length, \
         images: document.images.length, loaded: performance.getEntriesByType('resource').length, \
         small: [...document.querySelectorAll('body *')].filter(each => each.innerText \
             && parseFloat(getComputedStyle(each).fontSize) < 11).length}",
    )?;
    // Nothing to scroll sideways, nothing run, nothing fetched, nothing too small to read.
    let wanted = json!({"wide": Browser::WIDTH, "scripts": 0, "images": 0, "loaded": 0, "small": 0});
    ensure!(page == wanted, "the page has {page}, wanted {wanted}");
    let image = browser.screenshot()?;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    fs::write(&file, &image).with_context(|| format!("writing {}", file.display()))?;
    ensure!(size_of_png(&image)? == (Browser::WIDTH, Browser::HEIGHT), "{} has another size", file.display());
    ensure!(image.len() > BLANK, "{} shows next to nothing", file.display());
    println!("what it looks like: {}", file.display());
    agent.stop()
}
