//! Runs never outlive the authority they were started under: a small process of the same binary sees to it.
//!
//! Every command and every Terraform step is a child of the *guardian*, never of the agent. The agent starts the guardian
//! once ([`Guardian::start`]) and talks to it over a socket pair; the guardian (`quorate-guardian`, or else `quorate guardian`; [`main`]) spawns what
//! it is told to, passes output on, and stops everything by itself when the authority ends. It exists because the agent
//! cannot do that for itself: a process that is stopped, hung or killed stops nothing (protocol-safety 7).
//!
//! # When a run is stopped
//!
//! | what happened | how the guardian knows | [`Cause`] |
//! |---|---|---|
//! | the agent asks | [`Guardian::stop`], [`Guardian::stop_all`] | `Stop` |
//! | the lease was not extended: agent stopped, hung, cut off | its deadline passed on `CLOCK_BOOTTIME` or `CLOCK_MONOTONIC` | `Deadline` |
//! | the agent died | the socket is closed, or the agent's pidfd fires | `AgentGone` |
//!
//! # How a run is stopped
//!
//! 1. SIGINT once to the process group of the run, as a terminal would send it (Terraform takes a second one as "abort").
//!    Other groups get none: a wrapper that moved its child to a group of its own passes the signal on itself.
//! 2. When that group is empty, what is left elsewhere gets SIGTERM and half a second.
//! 3. After the grace, or that half second: SIGKILL to everything, again and again until nothing is left.
//!
//! A run whose main process ends by itself goes to step 2 at once, its own group included. A run is reported as exited
//! when its whole tree is gone, not before.
//!
//! # What "everything" is
//!
//! The guardian is a child subreaper: whatever a run forks, however often, is a descendant of the guardian for ever. To tell
//! the runs apart there is a cgroup (v2) for each where one can be made: nothing leaves it by forking, and `cgroup.kill` reaches
//! all of it at once. Without, `tree` attributes each descendant by parent, by what was seen earlier and by the `QUORATE_RUN_ID`
//! in its environment; one that cannot be attributed counts as part of *every* run and is killed with the first that ends.
//!
//! # The guardian itself
//!
//! It has its own session (so no ^C of the agent's terminal and no signal to the agent's group arrives, and runs have no
//! terminal to ask questions on) and replaces SIGINT, SIGTERM, SIGHUP and SIGQUIT by a handler that does nothing: a handler, not
//! "ignore" and not a mask: those two would be inherited by the runs, a handler is reset for them (also where the agent
//! itself was started with SIGINT ignored, as shells do for what they put in the background). Only SIGKILL ends it early. Then the
//! agent learns [`Notice::Lost`], and being a subreaper too it inherits the runs: [`Guardian::sweep_orphans`] kills them.
//!
//! # Not here
//!
//! What a run means, its retries and its time limit (`task`); the journal and the fence (`cluster/replication`); what `Release` says
//! and how it is sealed: the guardian carries those bytes without reading them. A guardian that is itself stopped (SIGSTOP) or
//! starved stops nothing in time; the epoch and the fence are for that.

mod bounds;
mod cgroup;
mod client;
mod clock;
mod environment;
mod frames;
mod launch;
mod message;
mod order;
mod orphans;
mod program;
mod server;
mod signals;
mod tree;

pub use client::{Containment, Guardian, GuardianError, Notice};
pub use environment::{RUN_ID, run_env};
pub use message::{Bounds, Cause, Datagram, Exit, Launch, OnDeath, Refusal, RunKey, Stream, User};
pub use order::Spawn;
pub use server::main;
