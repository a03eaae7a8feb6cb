//! The process that attaches: it does what the agent asks for, and ends when the agent does, however that ends.

use std::{
    collections::BTreeMap,
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, OwnedFd},
};

use rustix::io::Errno;

use super::{
    form::Form,
    link,
    wire::{Answer, Request, receive, send, verbs},
};

/// Programs that are held at once.
const MOST_PROGRAMS: usize = 16;
/// Probes that are in place at once.
const MOST_PROBES: usize = 4_096;

/// What the process holds: when it ends, the kernel takes all of it away.
struct Held {
    form: Form,
    programs: Vec<OwnedFd>,
    probes: BTreeMap<u32, OwnedFd>,
    last: u32,
}

/// Answers what comes through the socket until its other side is closed.
///
/// # Errors
/// Where the socket fails, or what comes is no request.
pub fn serve(form: Form, socket: impl AsFd) -> io::Result<()> {
    // Left to the end of the process: one that is killed while it closes a probe may leave the breakpoint in place
    // (seen on 6.18), since the kernel then gives up writing to the server's memory. One that exits is past being
    // killed.
    let mut held = ManuallyDrop::new(Held { form, programs: Vec::new(), probes: BTreeMap::new(), last: 0 });
    while let Some((request, descriptor)) = receive::<Request>(&socket)? {
        let answer = match held.handle(request, descriptor) {
            Ok(number) => Answer { error: 0, number },
            Err(error) => Answer { error: error.raw_os_error().cast_unsigned(), number: 0 },
        };
        match send(&socket, &answer, None) {
            Err(Errno::PIPE) => break,
            sent => sent?,
        }
    }
    Ok(())
}

impl Held {
    fn handle(&mut self, request: Request, descriptor: Option<OwnedFd>) -> Result<u32, Errno> {
        match (request.verb, descriptor) {
            (verbs::HOLD, Some(program)) if self.programs.len() < MOST_PROGRAMS => {
                self.programs.push(program);
                Ok(0)
            }
            (verbs::ATTACH, Some(file)) if self.probes.len() < MOST_PROBES => {
                let program = self.programs.get(request.number as usize).ok_or(Errno::NOENT)?;
                let probe = link::attach(self.form, program.as_fd(), file.as_fd(), request.at)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                self.last = self.last.checked_add(1).ok_or(Errno::OVERFLOW)?;
                self.probes.insert(self.last, probe);
                Ok(self.last)
            }
            (verbs::DETACH, None) => self.probes.remove(&request.number).map(|_| 0).ok_or(Errno::NOENT),
            (verbs::HOLD | verbs::ATTACH, Some(_)) => Err(Errno::NOSPC),
            _ => Err(Errno::INVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn held() -> Held {
        Held { form: Form::Multi, programs: Vec::new(), probes: BTreeMap::new(), last: 0 }
    }

    fn file() -> Option<OwnedFd> {
        Some(File::open("/proc/self/exe").unwrap().into())
    }

    #[test]
    fn what_can_not_be_done_is_refused_and_changes_nothing() {
        let mut held = held();
        let ask = |held: &mut Held, verb, descriptor| held.handle(Request { verb, number: 3, at: 0 }, descriptor);
        assert_eq!(ask(&mut held, verbs::ATTACH, file()), Err(Errno::NOENT), "no program");
        assert_eq!(ask(&mut held, verbs::ATTACH, None), Err(Errno::INVAL), "no file");
        assert_eq!(ask(&mut held, verbs::HOLD, None), Err(Errno::INVAL), "no program comes with it");
        assert_eq!(ask(&mut held, verbs::DETACH, None), Err(Errno::NOENT), "no such probe");
        assert_eq!(ask(&mut held, 4, None), Err(Errno::INVAL), "no such verb");
        assert!(held.programs.is_empty() && held.probes.is_empty());
    }

    #[test]
    fn what_is_held_is_bounded_and_no_program_is_what_is_none() {
        let mut held = held();
        let hold = Request { verb: verbs::HOLD, number: 0, at: 0 };
        for _ in 0..MOST_PROGRAMS {
            assert_eq!(held.handle(hold, file()), Ok(0));
        }
        assert_eq!(held.handle(hold, file()), Err(Errno::NOSPC));
        let attach = Request { verb: verbs::ATTACH, number: 0, at: 0 };
        assert!(held.handle(attach, file()).is_err(), "the kernel takes no other file for a program");
        assert!(held.probes.is_empty());
    }
}
