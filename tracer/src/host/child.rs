//! Runs a tool of the host and takes what it prints, within bounds of time and size.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Where tools are looked for, whatever the caller's PATH says.
const FOLDERS: [&str; 6] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin", "/usr/local/bin"];
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest output that is read, in bytes.
const LONGEST: u64 = 32 << 20;

/// Where the tool is, if the host has it.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.is_file())
}

/// The tool's standard output; an error says in words why there is none.
pub(super) fn output(tool: &Path, args: &[&str]) -> Result<String, String> {
    within(PATIENCE, tool, args)
}

fn within(patience: Duration, tool: &Path, args: &[&str]) -> Result<String, String> {
    let name = tool.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(tool);
    command.args(args).env_clear().env("PATH", FOLDERS.join(":")).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{name} can't be run: {error}"))?;
    let (tell, told) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(LONGEST + 1).read_to_end(&mut bytes));
        // Nobody waits any more: the time was up.
        let _late = tell.send(read.map(|_| bytes));
    });
    let read = told.recv_timeout(patience);
    if !matches!(&read, Ok(Ok(bytes)) if bytes.len() as u64 <= LONGEST) {
        // It may have ended by itself.
        let _gone = child.kill();
    }
    let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
    match read {
        Err(_) => Err(format!("{name} gave no answer within {} s", patience.as_secs_f32())),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Ok(Ok(bytes)) if bytes.len() as u64 > LONGEST => Err(format!("{name} prints more than {} MiB", LONGEST >> 20)),
        Ok(Ok(_)) if !status.success() => Err(format!("{name} failed ({status})")),
        Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_failure_and_silence_are_told_apart() {
        let sh = find("sh").unwrap();
        assert_eq!(output(&sh, &["-c", "echo $LC_ALL; echo no >&2"]).as_deref(), Ok("C\n"));
        assert_eq!(output(&sh, &["-c", "exit 3"]), Err("sh failed (exit status: 3)".to_owned()));
        let silent = within(Duration::from_millis(50), &sh, &["-c", "exec sleep 60"]);
        assert_eq!(silent, Err("sh gave no answer within 0.05 s".to_owned()));
        assert_eq!(find("no-such-tool"), None);
    }
}
