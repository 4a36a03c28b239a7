//! Agents that die, hang or lose their guardian. The agent that dies is this test binary again, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use quorate::guardian::{Containment, Datagram, Guardian, Notice, OnDeath};
use rustix::process::{Signal, kill_process_group};

use crate::support::{Agent, BOTH, LIMIT, alive, eventually, exists, lease, long_lease, marker, pid_of, shell, signal};

const NOBODY: [u32; 0] = [];
const SEALED: &[u8] = b"sealed release";
/// Resists everything but SIGKILL, with a part of it in another session.
const RESIST: &str = "trap '' INT TERM; setsid sh -c 'trap \"\" INT TERM; sleep MARK; sleep MARK' & \
     sleep 0.2; echo up; sleep MARK; sleep MARK";

const SCRIPT: &str = "QUORATE_TEST_SCRIPT";
const PEER: &str = "QUORATE_TEST_PEER";
const LEASE_MS: &str = "QUORATE_TEST_LEASE_MS";
const NO_CGROUPS: &str = "QUORATE_TEST_NO_CGROUPS";

/// An agent in a process of its own, in a process group of its own.
struct Other {
    process: Child,
    lines: BufReader<ChildStdout>,
    guardian: u32,
}

impl Other {
    /// Runs `script` under a lease that is renewed while the agent runs. Returns when the script has printed `up`.
    fn start(script: &str, peer: SocketAddr, lease: Duration, containment: Containment) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "agents::an_agent_in_a_process_of_its_own_runs_things", "--nocapture", "--quiet"]);
        command.env(SCRIPT, script).env(PEER, peer.to_string()).env(LEASE_MS, lease.as_millis().to_string());
        if containment == Containment::NoCgroups {
            command.env(NO_CGROUPS, "1");
        }
        let mut process = command.process_group(0).stdout(Stdio::piped()).spawn().expect("start an agent");
        let lines = BufReader::new(process.stdout.take().expect("its output"));
        let mut other = Self { process, lines, guardian: 0 };
        other.guardian = other.line("guardian ").parse().expect("a pid");
        other.line("up");
        other
    }

    /// What follows `prefix` in the next line that begins with it.
    fn line(&mut self, prefix: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("output") > 0, "the agent ended before {prefix:?}");
            if let Some(rest) = line.trim_end().strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The agent itself: only what the tests need.
async fn be_an_agent(script: &str) {
    let var = |name: &str| std::env::var_os(name).map(|value| value.into_string().unwrap());
    let say = |text: String| std::io::stdout().write_all(format!("{text}\n").as_bytes()).unwrap();
    let containment = if var(NO_CGROUPS).is_some() { Containment::NoCgroups } else { Containment::Best };
    let length = Duration::from_millis(var(LEASE_MS).unwrap().parse().unwrap());
    let mut agent = Agent::start(containment);
    let to = var(PEER).unwrap().parse().unwrap();
    agent.guardian.on_death(OnDeath {
        from: None,
        lease_ended: Vec::new(),
        release: vec![Datagram { to, bytes: SEALED.to_vec() }],
    });
    say(format!("guardian {}", agent.guardian.pid()));
    agent.spawn(shell(script), &lease(1, length)).await.unwrap();
    let mut renewal = tokio::time::interval(length / 8);
    loop {
        tokio::select! {
            _ = renewal.tick() => agent.guardian.deadline(&lease(1, length)),
            notice = agent.notices.recv() => match notice {
                Some(Notice::Output { bytes, .. }) => say(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
                Some(Notice::Exited { by, .. }) => say(format!("exited {by:?}")),
                Some(Notice::Ready { .. }) => {}
                Some(Notice::Lost { .. }) | None => return,
            },
        }
    }
}

fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Waits for the datagram. When it is there, nothing with this mark may be.
fn released(socket: &UdpSocket, marker: &str) {
    let mut bytes = [0; 64];
    let mut received = 0;
    eventually("the release arrives", || {
        received = socket.recv(&mut bytes).unwrap_or(0);
        received > 0
    });
    assert_eq!(alive(marker), NOBODY, "the release came while something still ran");
    assert_eq!(&bytes[..received], SEALED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_in_a_process_of_its_own_runs_things() {
    if let Some(script) = std::env::var_os(SCRIPT) {
        return be_an_agent(script.to_str().unwrap()).await;
    }
    let (_socket, address) = peer();
    let mut other = Other::start("echo up; sleep 0.1; echo done", address, LIMIT, Containment::Best);
    assert_eq!(other.line("do"), "ne");
    assert_eq!(other.line("exited "), "Itself");
}

#[test]
fn a_killed_agent_is_spoken_for_when_nothing_of_its_runs_is_left_and_not_before() {
    for containment in BOTH {
        let (socket, address) = peer();
        let marker = marker();
        let other = Other::start(&RESIST.replace("MARK", &marker), address, LIMIT, containment);
        eventually("all of the tree is up", || alive(&marker).len() == 4);
        assert!(socket.recv(&mut [0; 64]).is_err(), "nothing is sent for a living agent");
        signal(other.pid(), Signal::KILL);
        released(&socket, &marker);
        eventually("the guardian exits", || !exists(other.guardian));
        let mut more = 0;
        while socket.recv(&mut [0; 64]).is_ok() {
            more += 1;
        }
        assert_eq!(more, 2, "three in all");
    }
}

#[test]
fn a_stopped_agent_does_not_keep_its_run_alive() {
    for containment in BOTH {
        let (socket, address) = peer();
        let marker = marker();
        let script = RESIST.replace("MARK", &marker);
        let mut other = Other::start(&script, address, Duration::from_millis(1_500), containment);
        signal(other.pid(), Signal::STOP);
        eventually("the run is gone while the agent is stopped", || alive(&marker).is_empty());
        assert!(exists(other.guardian));
        assert!(socket.recv(&mut [0; 64]).is_err(), "it is not dead, so it is not spoken for");
        signal(other.pid(), Signal::CONT);
        assert_eq!(other.line("exited "), "Deadline");
    }
}

#[test]
fn a_signal_to_the_agents_group_reaches_neither_guardian_nor_run() {
    let (socket, address) = peer();
    let marker = marker();
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("tidy");
    // A signal from elsewhere would end it without a note: the note is written only 100 ms after the first.
    let script = "trap 'trap \"exit 1\" INT TERM; sleep 0.1; echo tidy > NOTE; exit 0' INT; echo up; \
         while :; do sleep 0.02; done; : MARK"
        .replace("MARK", &marker)
        .replace("NOTE", note.to_str().unwrap());
    let other = Other::start(&script, address, LIMIT, Containment::Best);
    kill_process_group(pid_of(other.pid()), Signal::INT).unwrap();
    kill_process_group(pid_of(other.pid()), Signal::TERM).unwrap();
    released(&socket, &marker);
    assert_eq!(std::fs::read_to_string(note).unwrap(), "tidy\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_loses_its_guardian_hears_of_it_and_sweeps() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let marker = marker();
        let hidden = "(setsid env -i PATH=$PATH sh -c 'trap \"\" INT TERM; sleep MARK; sleep MARK' &) &";
        let script = format!("{hidden} {RESIST}").replace("MARK", &marker);
        let mut order = shell(&script);
        order.grace = Duration::from_millis(200);
        agent.spawn(order, &long_lease()).await.unwrap();
        agent.up().await;
        eventually("all of it is up", || alive(&marker).len() == 6);
        signal(agent.guardian.pid(), Signal::KILL);
        assert!(matches!(agent.notice().await, Notice::Lost { .. }));
        assert_eq!(alive(&marker).len(), 6, "nobody else stops them");
        assert!(agent.spawn(shell("true"), &long_lease()).await.is_err());
        let guardian = agent.guardian.clone();
        let sweep = move || guardian.sweep_orphans();
        let killed = tokio::task::spawn_blocking(sweep).await.unwrap().unwrap();
        assert_eq!(alive(&marker), NOBODY, "{containment:?}");
        // The shells start their second sleep when their first is killed before them.
        assert!(killed >= 6, "{killed}");
        assert!(agent.guardian.running().is_empty());
    }
}

#[test]
fn a_guardian_whose_agent_was_gone_before_it_came_up_ends() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(ours);
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.arg("guardian").env_clear().stdin(std::os::fd::OwnedFd::from(theirs));
    let mut guardian = command.spawn().unwrap();
    eventually("a guardian that nobody will ever speak to ends", || matches!(guardian.try_wait(), Ok(Some(_))));
}

/// The program that a process runs.
fn program_of(pid: u32) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

#[tokio::test]
async fn the_small_program_is_the_guardian_only_when_it_is_of_the_same_build() {
    let exe = std::path::Path::new(env!("CARGO_BIN_EXE_quorate"));
    let small = std::path::Path::new(env!("CARGO_BIN_EXE_quorate-guardian"));
    // Links: a program that was just written may still be open in a child of another test, and cannot be started then.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let own = dir.path().join("quorate");
    std::fs::hard_link(exe, &own).unwrap();
    let beside = dir.path().join("quorate-guardian");
    let started = async || {
        let (guardian, mut notices) = Guardian::start(&own).unwrap();
        assert!(matches!(notices.recv().await, Some(Notice::Ready { .. })));
        program_of(guardian.pid())
    };
    assert_eq!(started().await, own, "there is no other");
    std::fs::hard_link(small, &beside).unwrap();
    assert_eq!(started().await, beside);
    std::fs::remove_file(&beside).unwrap();
    std::os::unix::fs::symlink("/bin/false", &beside).unwrap();
    assert_eq!(started().await, own, "what is there is of another build");
    let other = Command::new(small).args(["guardian", "--is-from", "1"]).status().unwrap();
    assert!(!other.success(), "a guardian tells other builds from its own");
}
