//! A real browser without a window: Chromium, driven by way of chromedriver's WebDriver interface.
//! <https://www.w3.org/TR/webdriver2/>

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use lab::wait;
use serde_json::{Value, json};

use crate::agent::free_address;
use crate::runner::Skip;

/// Starting a browser takes a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page, the size of a phone; it ends when it goes out of scope.
pub(crate) struct Browser {
    driver: Child,
    listen: SocketAddr,
    session: String,
    dir: PathBuf,
}

impl Browser {
    /// The page's size, in its own pixels.
    pub(crate) const WIDTH: u32 = 360;
    pub(crate) const HEIGHT: u32 = 780;

    /// Starts it. [`Skip`] where there is none.
    pub(crate) fn start() -> Result<Self> {
        let there = |program| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
        if !there("chromedriver") || !there("chromium") {
            bail!(Skip("chromium is not installed (`./dev setup test` installs it)"));
        }
        let dir = std::env::temp_dir().join(format!("tracer-browser-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let listen = free_address()?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", listen.port()))
            .arg(format!("--log-path={}", dir.join("log").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting chromedriver")?;
        let mut browser = Self { driver, listen, session: String::new(), dir };
        wait::until_true("chromedriver to be ready", PATIENCE, || {
            browser.ask("GET", "/status", &Value::Null).is_ok_and(|status| status["ready"] == true)
        })?;
        browser.session = browser.open().with_context(|| browser.log())?;
        Ok(browser)
    }

    fn open(&self) -> Result<String> {
        let options = json!({
            "binary": "/usr/bin/chromium",
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                format!("--user-data-dir={}", self.dir.join("profile").display()),
            ],
            "mobileEmulation": {"deviceMetrics": {"width": Self::WIDTH, "height": Self::HEIGHT, "pixelRatio": 1}},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}});
        let opened = self.ask("POST", "/session", &wanted)?;
        Ok(opened["sessionId"].as_str().context("no session")?.to_owned())
    }

    /// Opens a page.
    pub(crate) fn visit(&self, url: &str) -> Result<()> {
        self.ask("POST", &format!("/session/{}/url", self.session), &json!({"url": url})).map(drop)
    }

    /// What a script that is run in the page returns.
    pub(crate) fn run(&self, script: &str) -> Result<Value> {
        let body = json!({"script": script, "args": []});
        self.ask("POST", &format!("/session/{}/execute/sync", self.session), &body)
    }

    /// What is to be seen, as a PNG.
    pub(crate) fn screenshot(&self) -> Result<Vec<u8>> {
        let taken = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null)?;
        let text = taken.as_str().context("no screenshot")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }

    /// The `value` of an answer. One that is no success is an error.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(self.listen)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.listen,
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        let mut answer = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while answer.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        let mut answer: Value = serde_json::from_slice(&body).context("an answer of chromedriver's")?;
        let value = answer["value"].take();
        ensure!(value["error"].is_null(), "{method} {path}: {value}");
        Ok(value)
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser itself, which is the driver's child.
        let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Width and height of a PNG.
pub(crate) fn size_of_png(image: &[u8]) -> Result<(u32, u32)> {
    let number = |at: usize| image.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    ensure!(image.starts_with(b"\x89PNG\r\n\x1a\n"), "this is no PNG");
    number(16).zip(number(20)).ok_or_else(|| anyhow!("a PNG without a size"))
}
