//! What surrounded a failure, in the evidence and the advice.

use super::*;

#[test]
fn the_age_of_a_request_counts_from_its_last_byte_and_not_from_what_was_sent_meanwhile() {
    let killed = with(|e| {
        (e.end, e.signal) = (End::Signaled(9), signal(9, master()));
        (e.waited, e.quiet, e.idle) =
            (Duration::from_millis(1070), Duration::from_millis(72), Some(Duration::from_millis(72)));
    });
    let verdict = diagnose(&killed).unwrap();
    assert_eq!((verdict.cause, verdict.request_age_ms), (Cause::SupervisorKill, Some(1070.0)));
    assert!(verdict.advice.contains("1.1 s after the last byte of the request"), "{}", verdict.advice);
    assert!(verdict.evidence.contains(&"the request's last byte had come 1.1 s before".to_owned()), "{verdict:#?}");
    let upload = diagnose(&with(|e| (e.bodyless, e.trigger, e.unread) = (false, Trigger::Rst, 5))).unwrap();
    let soon = "the last byte from the edge had come less than 10 ms before";
    assert!(upload.evidence.contains(&soon.to_owned()), "{upload:#?}");
    let late = with(|e| (e.trigger, e.request.method) = (Trigger::Late { bytes: 9 }, Some("GET".to_owned())));
    assert_eq!(diagnose(&late).unwrap().request_age_ms, None);
}

#[test]
fn a_close_after_a_round_time_is_told_as_a_timeout_of_the_servers_own() {
    let advice = |millis, name: &str| {
        let closed = with(|e| {
            e.waited = Duration::from_millis(millis);
            e.process = Some(Process { name: name.to_owned(), pid: 7, ..Process::default() });
        });
        diagnose(&closed).unwrap().advice
    };
    let node = advice(5_004, "node");
    assert!(node.contains("timeout of its own of 5 s") && node.contains("server.requestTimeout"), "{node}");
    assert!(advice(10_010, "api").contains("WriteTimeout"));
    assert!(!advice(1_300, "api").contains("timeout of its own"));
}

#[test]
fn a_connection_that_nobody_accepted_comes_with_its_queue_and_with_who_holds_others() {
    let waiting = with(|e| {
        (e.trigger, e.accepted, e.turns) = (Trigger::Overdue, false, 0);
        (e.waited, e.quiet, e.unread) = (Duration::from_secs(125), Duration::from_secs(125), 182);
        e.around.queue = Some(Queue { waiting: 12, limit: Some(128), sockets: 1 });
        e.around.held = Some(Held { connections: 4, processes: 4, awaited: Some(0) });
        e.around.descriptors = Some(Descriptors { open: 20, limit: 1024 });
    });
    let verdict = diagnose(&waiting).unwrap();
    assert_eq!(verdict.cause, Cause::ResponseTimeout);
    assert_eq!(
        verdict.evidence,
        [
            "nobody has accepted the connection: it waits in the accept queue with 182 bytes of a request",
            "no response byte was sent in 2.1 min (the edge's read timeout is 2.1 min)",
            "12 of at most 128 connections wait in the accept queue of port 80",
            "4 connections of port 80 had been accepted and read by 4 processes, and none of these waits for an answer",
        ]
    );
    assert!(verdict.advice.contains("more workers"), "{}", verdict.advice);
    let full = Evidence {
        around: Around { descriptors: Some(Descriptors { open: 1024, limit: 1024 }), ..Around::default() },
        ..waiting
    };
    let advice = diagnose(&full).unwrap().advice;
    assert!(advice.starts_with("web has 1024 of at most 1024 descriptors open"), "{advice}");
    let silent = with(|e| {
        (e.trigger, e.accepted, e.turns, e.protocol) = (Trigger::Overdue, false, 0, Protocol::Tls);
        (e.waited, e.exchanges) = (Duration::from_secs(125), 0);
        e.handshake = Some(Handshake { hello: true, answer: Answer::Nothing, ..Handshake::default() });
        e.around.queue = Some(Queue { waiting: 1, limit: None, sockets: 2 });
    });
    let verdict = diagnose(&silent).unwrap();
    assert!(verdict.evidence[0].starts_with("nobody has accepted the connection"), "{verdict:#?}");
    assert!(verdict.evidence.contains(&"1 connection waits in the 2 accept queues of port 80".to_owned()));
    assert!(verdict.advice.contains("accepted no connection") && !verdict.advice.contains("ciphers"));
}

#[test]
fn what_runs_out_around_a_failure_is_named_and_what_does_not_is_not() {
    let told = |descriptors, memory_pressure| {
        diagnose(&with(|e| (e.around.descriptors, e.around.memory_pressure) = (descriptors, memory_pressure))).unwrap()
    };
    let short = told(Some(Descriptors { open: 1020, limit: 1024 }), Some(43)).evidence;
    assert!(short.contains(&"web[7] has 1020 of at most 1024 descriptors open".to_owned()), "{short:?}");
    let memory = "memory is short: in 43 % of the last ten seconds some task waited for it";
    assert!(short.contains(&memory.to_owned()), "{short:?}");
    let calm = told(Some(Descriptors { open: 20, limit: 1024 }), Some(3)).evidence;
    assert_eq!(calm, diagnose(&unanswered()).unwrap().evidence);
}

#[test]
fn a_full_disk_is_named_with_what_the_process_has_to_do_with_it_and_comes_first_in_the_advice() {
    let full = |lack, by| Some(FullDisk { mount: "/var/log".to_owned(), lack, by });
    let space = Lack::Space { left: 512, total: 64 << 20 };
    let told = |change: &dyn Fn(&mut Evidence), lack, by| {
        let verdict = diagnose(&with(|e| {
            e.around.full_disk = full(lack, by);
            change(e);
        }));
        let verdict = verdict.unwrap();
        (verdict.evidence.into_iter().find(|line| line.contains("is full")), verdict.advice)
    };
    let cut = |e: &mut Evidence| e.response = progress(Progress::InBody);
    let (line, advice) = told(&cut, space, Writes::File);
    let open = "web[7] has a file open for writing on /var/log, a file system that is full: 0 of 65536 KiB are left";
    assert_eq!(line.as_deref(), Some(open));
    assert!(advice.starts_with("/var/log is full: make room there first"), "{advice}");
    assert!(advice.contains("If it goes on, web closed before its response was whole"), "{advice}");
    let (line, advice) = told(&|_| (), Lack::Inodes(1024), Writes::Temporary("/tmp"));
    let inodes = "web[7] may keep temporary files in /tmp, on /var/log, a file system that is full: none of its 1024 \
                  inodes is left";
    assert_eq!(line.as_deref(), Some(inodes));
    assert!(advice.contains("df -i"), "{advice}");
    let (line, _) = told(&|_| (), space, Writes::Folder);
    assert!(line.is_some_and(|line| line.starts_with("web[7] has its working directory on /var/log")));
    // Another's signal is no failure to write, and an idle connection has nothing to write.
    let killed = |e: &mut Evidence| (e.end, e.signal) = (End::Signaled(9), signal(9, other()));
    assert!(!told(&killed, space, Writes::File).1.contains("is full"));
    let idle = |e: &mut Evidence| {
        (e.trigger, e.closed_for) = (Trigger::Late { bytes: 240 }, Some(Duration::ZERO));
        e.idle = Some(Duration::from_secs(5));
    };
    assert_eq!(told(&idle, space, Writes::File).0, None);
}

#[test]
fn the_address_that_was_dialled_before_nat_is_told_beside_that_of_the_socket() {
    let told = diagnose(&with(|e| e.around.published = Some("203.0.113.5:8443".parse().unwrap()))).unwrap();
    let published = (told.published_addr.map(|addr| addr.to_string()), told.published_port);
    assert_eq!(published, (Some("203.0.113.5".to_owned()), Some(8443)));
    assert_eq!((told.local_addr.to_string().as_str(), told.local_port), ("10.99.0.1", 80));
    let line = "the edge had connected to 203.0.113.5:8443, which NAT on this host translates to 10.99.0.1:80";
    assert_eq!(told.evidence[0], line);
    let plain = diagnose(&unanswered()).unwrap();
    assert_eq!((plain.published_addr, plain.published_port), (None, None));
}

#[test]
fn a_request_head_above_what_the_server_takes_is_named_with_its_size() {
    let told = |bytes, name: &str| {
        diagnose(&with(|e| {
            e.request_head = Some(bytes);
            e.process = Some(Process { name: name.to_owned(), pid: 7, ..Process::default() });
        }))
        .unwrap()
    };
    let uwsgi = told(5_000, "uwsgi");
    let large = "the request's header section is large: 5000 bytes of it came";
    assert!(uwsgi.evidence.contains(&large.to_owned()), "{uwsgi:#?}");
    assert!(uwsgi.advice.contains("buffer-size") && uwsgi.advice.contains("5000"), "{}", uwsgi.advice);
    let other = told(5_000, "web");
    assert!(!other.evidence.contains(&large.to_owned()) && !other.advice.contains("5000"), "{other:#?}");
    assert!(told(9_000, "web").advice.contains("9000 bytes of header fields"));
}

#[test]
fn a_process_that_does_not_run_is_named_wherever_the_edge_waited_in_vain_and_nowhere_else() {
    let told = |e: &Evidence, halt, pid| {
        let halted = Some(Halted { pid, halt, others: 2 });
        let verdict = diagnose(&Evidence { around: Around { halted, ..e.around.clone() }, ..e.clone() }).unwrap();
        (verdict.evidence.into_iter().find(|line| line.contains("does not run")), verdict.advice)
    };
    let waited = with(|e| {
        (e.trigger, e.waited, e.quiet) = (Trigger::EdgeRst, Duration::from_secs(125), Duration::from_secs(125));
    });
    let stalled = Evidence { response: progress(Progress::InBody), ..waited.clone() };
    let not_read = Evidence { unread: 900, window: 0, ..waited.clone() };
    let mut shaking = shaking(Trigger::Overdue, |h| h.answer = Answer::Nothing);
    shaking.waited = Duration::from_secs(125);
    for e in [&waited, &stalled, &not_read, &shaking] {
        let (line, advice) = told(e, Halt::Stopped, 7);
        let expected = "web[7] does not run: it is stopped by a signal (SIGSTOP; state T), and so are 2 more of them";
        assert_eq!(line.as_deref(), Some(expected));
        assert!(advice.contains("kill -CONT 7"), "{advice}");
    }
    let (line, advice) = told(&waited, Halt::Frozen, 8);
    let line = line.unwrap();
    assert!(line.starts_with("process 8, a child of web[7], does not run: it is frozen"), "{line}");
    assert!(advice.contains("docker unpause"), "{advice}");
    assert!(told(&waited, Halt::Uninterruptible, 7).1.contains("/proc/7/stack"));
    assert!(told(&waited, Halt::Traced, 7).1.contains("TracerPid"));
    let (line, advice) = told(&unanswered(), Halt::Stopped, 7);
    assert_eq!((line, advice), (None, diagnose(&unanswered()).unwrap().advice));
}
