//! A worker: accepts connections and serves each on a thread of its own.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;

use super::behaviour::{self, After};
use super::{Mode, Spec, forward, request};

/// The listening socket that the supervisor handed over as standard input.
pub(super) fn inherited_listener() -> Result<TcpListener> {
    let socket = io::stdin().as_fd().try_clone_to_owned().context("taking over the listening socket")?;
    Ok(TcpListener::from(socket))
}

/// Accepts until that fails.
pub(super) fn serve(listener: TcpListener, spec: &Spec) -> Result<()> {
    match spec.mode {
        Mode::NeverAccept => park(),
        Mode::LetGo => {
            let forever = None;
            poll(&mut [PollFd::new(&listener, PollFlags::IN)], forever).context("waiting for a connection")?;
            std::thread::sleep(spec.idle_timeout().unwrap_or_default());
            drop(listener);
            park()
        }
        Mode::Http | Mode::Close | Mode::CloseUnread | Mode::Reset => {}
    }
    loop {
        let (stream, _) = listener.accept().context("accepting")?;
        if spec.mode == Mode::Close {
            continue;
        }
        let (mode, idle, to) = (spec.mode, spec.idle_timeout(), spec.forward);
        // The thread has a name of its own: a tracer must tell the process' name all the same.
        std::thread::Builder::new()
            .name("connection".into())
            .spawn(move || {
                let served = match to {
                    Some(port) => forward::pass_on(&stream, port),
                    None => connection(stream, mode, idle),
                };
                if let Err(error) = served {
                    eprintln!("connection: {error:#}");
                }
            })
            .context("starting a thread")?;
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// Serves one connection; the stream's end is the connection's.
fn connection(mut stream: TcpStream, mode: Mode, idle: Option<Duration>) -> Result<()> {
    match mode {
        Mode::Reset => return abort(&stream),
        Mode::CloseUnread => {
            stream.peek(&mut [0])?;
            return Ok(());
        }
        Mode::Http | Mode::Close | Mode::NeverAccept | Mode::LetGo => {}
    }
    let mut first = true;
    loop {
        stream.set_read_timeout(idle.filter(|_| !first))?;
        let Some(request) = request::read_head(&mut stream)? else { return Ok(()) };
        stream.set_read_timeout(None)?;
        first = false;
        match behaviour::answer(&mut stream, &request)? {
            After::KeepAlive => {}
            After::Close => return Ok(()),
            After::Abort => return abort(&stream),
        }
    }
}

/// Makes the close an abortive one: RST instead of FIN.
fn abort(stream: &TcpStream) -> Result<()> {
    set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).context("setting SO_LINGER 0")
}
