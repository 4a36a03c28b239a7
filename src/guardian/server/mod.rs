//! The guardian process: one thread, one `poll`, no waiting anywhere else.
//!
//! Each turn: read what the agent says, read and write the streams of the runs, then decide with the time as it is now.
//! What the agent said is read before a deadline is judged, so a guardian that was itself delayed does not stop a run whose
//! extension already waits in the socket. The one timer counts on `CLOCK_BOOTTIME`: it fires after a suspension.

mod agent;
mod authority;
mod output;
mod phase;
mod release;
mod run;
mod spawn;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpgrp, getpid, getppid, pidfd_open, set_child_subreaper,
    setsid, wait,
};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use self::agent::Agent;
use self::authority::Authority;
use self::phase::{Action, Phase};
use self::release::Release;
use self::run::{Finished, Run};
use super::cgroup::Cgroups;
use super::message::{Cause, Exit, FromGuardian, OnDeath, RunKey, ToGuardian};
use super::tree::{self, Members, Tree};
use super::{clock, launch, program};
use crate::cluster::Now;

/// Runs at once. An agent has tens of tasks, each with one run; more is a defect that must not eat the machine.
const RUNS_MAX: u32 = 64;
/// Between looks at runs without a cgroup while nothing happens: a process that leaves its session, its parents and its
/// environment behind within less than this, while several runs are under way, is not told apart.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Rounds of killing before the agent and the other runs get their turn.
const ROUNDS: usize = 8;
/// How long the death of an agent that closed the socket is awaited. One that lives on speaks for itself.
const DEATH_WAIT: Duration = Duration::from_secs(2);
/// First argument that switches cgroups off.
pub(super) const NO_CGROUPS: &str = "--no-cgroups";

/// The guardian process (`quorate guardian [--no-cgroups]`). Returns when the agent has ended and nothing of its runs is left.
pub fn main() -> ExitCode {
    // What the agent was started with (of a shell, of a supervisor) is for no run. Nothing of our own is open yet.
    close_fds::set_fds_cloexec(3, &[]);
    let mut options = std::env::args_os().skip(2);
    let option = options.next();
    if option.as_deref().is_some_and(|option| option == launch::LAUNCH) {
        return launch::main(options);
    }
    if option.as_deref().is_some_and(|option| option == program::IS_FROM) {
        return if program::is_from(options.next().as_deref()) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let cgroups = option.is_none_or(|option| option != NO_CGROUPS);
    match Server::new(cgroups).and_then(|mut server| server.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error} (this command is for the agent: it starts its guardian itself)"));
            ExitCode::from(2)
        }
    }
}

struct Server {
    agent: Agent,
    agent_pid: Option<Pid>,
    agent_exit: Option<OwnedFd>,
    agent_dead: bool,
    gone_since: Option<Now>,
    stopped_with_agent: usize,
    bye: bool,
    authority: Authority,
    runs: BTreeMap<RunKey, Run>,
    finished: BTreeMap<RunKey, Finished>,
    tree: Tree,
    own_group: i32,
    cgroups: Option<Cgroups>,
    /// Runs with limits so far.
    limited: u64,
    looked: Now,
    on_death: OnDeath,
    lease_ended: Option<Release>,
    release: Option<Release>,
    child_ended: UnixStream,
    timer: OwnedFd,
}

impl Server {
    fn new(cgroups: bool) -> io::Result<Self> {
        rustix::net::sockopt::socket_type(rustix::stdio::stdin())
            .map_err(|_| io::Error::other("standard input is not a socket"))?;
        // Refused for a group leader: a person who tries it by hand.
        setsid().ok();
        set_child_subreaper(Some(getpid()))?;
        let heard = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::clone(&heard))?;
        }
        let (child_ended, writer) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, writer)?;
        child_ended.set_nonblocking(true)?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        ioctl_fionbio(&timer, true)?;
        let agent_pid = getppid();
        let cgroups = if cgroups { Cgroups::probe() } else { None };
        let mut agent = Agent::on_stdin()?;
        agent.send(&FromGuardian::Ready { cgroups: cgroups.is_some() });
        Ok(Self {
            agent,
            agent_pid,
            agent_exit: agent_pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()),
            agent_dead: false,
            gone_since: None,
            stopped_with_agent: 0,
            bye: false,
            authority: Authority::default(),
            runs: BTreeMap::new(),
            finished: BTreeMap::new(),
            tree: Tree::new(getpid().as_raw_nonzero().get(), true),
            own_group: getpgrp().as_raw_nonzero().get(),
            cgroups,
            limited: 0,
            looked: clock::now(),
            on_death: OnDeath::default(),
            lease_ended: None,
            release: None,
            child_ended,
            timer,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.tell();
            let timeout = match self.poll_timeout(clock::now()) {
                Next::Exit => break,
                Next::In(timeout) => timeout,
            };
            self.wait_for_something(timeout)?;
            self.agent.fill();
            while let Some(message) = self.agent.poll_message() {
                self.handle_message(message, clock::now());
            }
            self.runs.values_mut().for_each(Run::pump);
            self.handle_time(clock::now());
        }
        self.say_last_word();
        Ok(())
    }

    /// For whoever looks for the reason later. Nothing depends on this process any more, so it may wait for the reader.
    fn say_last_word(&self) {
        if self.gone_since.is_none() || self.stopped_with_agent == 0 && self.on_death.release.is_empty() {
            return;
        }
        let end = if self.agent_dead { "died" } else { "closed the connection" };
        let told = if self.release.is_some() { self.on_death.release.len() } else { 0 };
        let stopped = self.stopped_with_agent;
        say(&format!("the agent {end}; runs stopped: {stopped}, nothing is left of them; agents told: {told}"));
    }

    /// Returns when a descriptor is ready or the time has passed. Which one is not told: everything is tried, without waiting.
    fn wait_for_something(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if let Some(timeout) = timeout {
            // Zero would disarm it.
            let timeout = timeout.max(Duration::from_nanos(1));
            let value = Timespec {
                tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        }
        let mut fds = vec![PollFd::new(&self.timer, PollFlags::IN), PollFd::new(&self.child_ended, PollFlags::IN)];
        if self.agent.is_open() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.agent.wants_read());
            flags.set(PollFlags::OUT, self.agent.wants_write());
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), flags));
        }
        for run in self.runs.values() {
            fds.extend(run.read_fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            fds.extend(run.write_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        }
        let exit = self.agent_exit.as_ref().filter(|_| !self.agent_dead).map(|fd| (fds.len(), fd));
        fds.extend(exit.map(|(_, fd)| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let exited = exit.is_some_and(|(index, _)| fds[index].revents().contains(PollFlags::IN));
        drop(fds);
        // Without a pidfd: a parent that changed has died. Threads of one process do not count as different parents.
        self.agent_dead |= exited || (self.agent_exit.is_none() && getppid() != self.agent_pid);
        for fd in [self.timer.as_fd(), self.child_ended.as_fd()] {
            let mut drain = [0; 64];
            while read(fd, &mut drain).is_ok_and(|count| count > 0) {}
        }
        Ok(())
    }

    fn handle_message(&mut self, message: ToGuardian, now: Now) {
        match message {
            ToGuardian::Spawn(order) => {
                let run = order.run.clone();
                if let Err(why) = self.spawn(order) {
                    self.agent.send(&FromGuardian::Refused { run, why });
                }
            }
            ToGuardian::Deadline { epoch, ends } => {
                self.authority.extend(epoch, ends);
                for run in self.runs.values_mut().filter(|run| run.epoch == epoch) {
                    run.ends = run.ends.max(ends);
                }
            }
            ToGuardian::Stop { run, why, grace } => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.stop(Cause::Stop(why), grace, now);
                }
            }
            ToGuardian::StopAll { why, grace } => {
                self.authority.close();
                self.stop_all(&Cause::Stop(why), grace, now);
            }
            ToGuardian::OnDeath(what) => self.on_death = what,
            ToGuardian::Bye => {
                self.bye = true;
                self.authority.end();
                if self.runs.is_empty() {
                    // The agent says so itself, or has nothing to say.
                    self.on_death = OnDeath::default();
                }
                self.stop_all(&Cause::Stop("the agent ends".to_owned()), None, now);
            }
        }
    }

    fn stop_all(&mut self, cause: &Cause, grace: Option<Duration>, now: Now) {
        for run in self.runs.values_mut() {
            run.stop(cause.clone(), grace, now);
        }
    }

    /// Judges deadlines, waits for the ended, sweeps what they left.
    fn handle_time(&mut self, now: Now) {
        if (!self.agent.is_open() || self.agent_dead) && self.gone_since.is_none() {
            self.gone_since = Some(now);
            self.stopped_with_agent = self.runs.len();
            self.authority.end();
            self.stop_all(&Cause::AgentGone, None, now);
        }
        for run in self.runs.values_mut() {
            if run.phase == Phase::Running && run.ends.left(now).is_zero() {
                run.stop(Cause::Deadline, None, now);
            }
        }
        let mut alone = self.reap();
        let look_due = now.since(self.looked) >= LOOK_PERIOD && self.runs.values().any(|run| run.cgroup.is_none());
        if !look_due && !self.runs.values().any(|run| run.phase.wants_look(run.has_main(), now)) {
            return;
        }
        for _ in 0..ROUNDS {
            let Ok(members) = self.look() else { return };
            if !self.advance(&members, alone, clock::now()) {
                return;
            }
            alone = self.reap();
        }
    }

    /// Moves every run on by what was seen. Returns whether another look is needed at once.
    fn advance(&mut self, members: &Members, alone: bool, now: Now) -> bool {
        let mut again = false;
        let mut ended = Vec::new();
        for (key, run) in &mut self.runs {
            let of_run = members.get(key).map(Vec::as_slice).unwrap_or_default();
            let action = run.phase.advance(run.seen(of_run), now);
            match action {
                Action::Wait => {}
                Action::Terminate => run.sweep(of_run, Signal::TERM, self.own_group),
                Action::Kill => run.sweep(of_run, Signal::KILL, self.own_group),
                Action::Finish => run.empty_looks += 1,
            }
            if action != Action::Finish {
                run.empty_looks = 0;
            } else if alone || run.empty_looks > 1 {
                ended.push(key.clone());
            }
            again |= action == Action::Finish || action == Action::Kill && run.phase.is_urgent(now);
        }
        for key in ended {
            self.tree.end(&key);
            if let Some(run) = self.runs.remove(&key) {
                self.finished.insert(key, run.finish());
            }
        }
        again && !self.runs.is_empty()
    }

    /// Waits for every child that has ended. Returns whether none is left: then nothing of any run is left, because
    /// whatever loses its parent becomes a child.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    if let Some(run) = self.runs.values_mut().find(|run| run.pid == pid && run.has_main()) {
                        run.exit = Some(exit(status));
                    }
                }
                Ok(None) => return false,
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }

    fn look(&mut self) -> io::Result<Members> {
        let table = tree::table()?;
        let mut claimed = BTreeMap::new();
        for (key, run) in &self.runs {
            if let Some(cgroup) = run.cgroup.as_ref().filter(|cgroup| !cgroup.holds_guardian()) {
                claimed.extend(cgroup.pids().into_iter().map(|pid| (pid, key.clone())));
            }
        }
        self.looked = clock::now();
        let runs = &self.runs;
        let identify = |pid| tree::run_id(pid).and_then(|id| runs.keys().find(|key| key.id() == id).cloned());
        Ok(self.tree.observe(&table, &claimed, identify))
    }

    /// Says what there is to say until all of it is said or the socket is full: then it wakes us when it has room again.
    fn tell(&mut self) {
        loop {
            self.hand_on();
            self.agent.flush();
            let kept = self.runs.values().any(Run::has_output) || !self.finished.is_empty();
            if !kept || !self.agent.has_room() {
                return;
            }
        }
    }

    /// Gives the agent what it has room for: output first, the end of a run after the last of its output.
    fn hand_on(&mut self) {
        let open = self.runs.iter_mut().map(|(key, run)| (key, run.outputs()));
        let over = self.finished.iter_mut().map(|(key, run)| (key, run.outputs.as_mut_slice()));
        for (key, outputs) in open.chain(over) {
            for output in outputs {
                while let Some((bytes, lost)) = self.agent.has_room().then(|| output.poll_chunk()).flatten() {
                    let run = key.clone();
                    self.agent.send(&FromGuardian::Output { run, stream: output.stream, bytes, lost });
                }
            }
        }
        if self.agent.has_room() {
            for (run, ended) in std::mem::take(&mut self.finished) {
                if ended.outputs.iter().all(output::Output::is_empty) || !self.agent.is_open() {
                    let Finished { exit, by, swept, out_of_memory, .. } = ended;
                    self.agent.send(&FromGuardian::Exited { run, exit, by, swept, out_of_memory });
                } else {
                    self.finished.insert(run, ended);
                }
            }
        }
    }

    /// When to wake up next without being woken, or that all is done.
    fn poll_timeout(&mut self, now: Now) -> Next {
        if !self.agent.is_open() && self.gone_since.is_none() {
            // The last write found it closed. Nothing else would wake us when the agent ended before its exit could be watched.
            return Next::In(Some(Duration::ZERO));
        }
        if self.runs.is_empty() {
            if let Some(since) = self.gone_since {
                return self.after_death(since, now);
            }
            if self.bye && self.finished.is_empty() && !self.agent.wants_write() {
                return Next::Exit;
            }
        }
        let told = self.tell_of_death(now);
        let phases = self.runs.values().filter_map(|run| run.phase.poll_timeout(run.has_main(), now));
        let deadlines = self.runs.values().filter(|run| run.phase == Phase::Running).map(|run| run.ends.left(now));
        let look = self
            .runs
            .values()
            .any(|run| run.cgroup.is_none())
            .then(|| LOOK_PERIOD.saturating_sub(now.since(self.looked)));
        Next::In(phases.map(|(after, _why)| after).chain(deadlines).chain(look).chain(told).min())
    }

    /// The agent is dead and runs are still ending: the others need not wait for its lease. How long until it is said again.
    fn tell_of_death(&mut self, now: Now) -> Option<Duration> {
        if !self.agent_dead || self.runs.is_empty() {
            return None;
        }
        let lease_ended = self.lease_ended.get_or_insert_with(|| Release::begin(now));
        lease_ended.advance(self.on_death.from, &self.on_death.lease_ended, now)
    }

    fn after_death(&mut self, since: Now, now: Now) -> Next {
        if self.on_death.release.is_empty() {
            return Next::Exit;
        }
        if !self.agent_dead {
            // Closed, but not seen to be dead: it must not be spoken for.
            let left = DEATH_WAIT.saturating_sub(now.since(since));
            return if left.is_zero() { Next::Exit } else { Next::In(Some(left)) };
        }
        let release = self.release.get_or_insert_with(|| Release::begin(now));
        release
            .advance(self.on_death.from, &self.on_death.release, now)
            .map_or(Next::Exit, |after| Next::In(Some(after)))
    }
}

/// To standard error, if that still leads anywhere.
pub(super) fn say(text: &str) {
    drop(writeln!(io::stderr(), "quorate guardian: {text}"));
}

enum Next {
    Exit,
    In(Option<Duration>),
}

fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Signal(0),
    }
}
