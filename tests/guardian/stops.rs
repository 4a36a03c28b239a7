//! Ending runs that do not want to end, and all that they left behind.

use std::time::Duration;

use quorate::guardian::{Cause, Containment, Exit, GuardianError, Refusal};
use quorate::runtime::clock;
use quorate_proto::Epoch;
use rustix::process::Signal;

use crate::support::{Agent, BOTH, LIMIT, alive, eventually, exists, lease, long_lease, marker, shell, signal};

const NOBODY: [u32; 0] = [];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_may_tidy_up_within_its_grace() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let mut spawn = shell("trap 'sleep 0.3; echo tidy; exit 7' INT; echo up; while :; do sleep 0.05; done");
        spawn.grace = LIMIT;
        let key = spawn.run.clone();
        agent.spawn(spawn, &long_lease()).await.unwrap();
        agent.up().await;
        agent.guardian.stop(&key, "told to", None);
        let ended = agent.ended(&key).await;
        assert_eq!((ended.exit, ended.by, ended.swept), (Exit::Code(7), Cause::Stop("told to".into()), 0));
        assert_eq!(ended.stdout, "tidy\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_interrupted_once_only() {
    let mut agent = Agent::start(Containment::Best);
    let mut spawn = shell("trap 'echo again' INT; echo up; while :; do sleep 0.05; done");
    spawn.grace = Duration::from_secs(1);
    let key = spawn.run.clone();
    agent.spawn(spawn, &long_lease()).await.unwrap();
    agent.up().await;
    for _ in 0..5 {
        agent.guardian.stop(&key, "told to", None);
        agent.guardian.stop_all("told to", None);
    }
    let ended = agent.ended(&key).await;
    assert_eq!(ended.stdout, "again\n");
    assert_eq!(ended.exit, Exit::Signal(Signal::KILL.as_raw()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ignores_the_interrupt_is_killed_after_its_grace() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let marker = marker();
        let spawn = shell(&format!("trap '' INT TERM; echo up; sleep {marker}; sleep {marker}"));
        let key = spawn.run.clone();
        agent.spawn(spawn, &long_lease()).await.unwrap();
        agent.up().await;
        let asked = clock::now();
        agent.guardian.stop(&key, "told to", None);
        let ended = agent.ended(&key).await;
        assert_eq!(ended.exit, Exit::Signal(Signal::KILL.as_raw()));
        assert_eq!(alive(&marker), NOBODY, "all of it was gone when it was reported");
        assert!(clock::now().since(asked) >= Duration::from_millis(300), "it had its grace");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_hears_the_interrupt_too() {
    let mut agent = Agent::start(Containment::Best);
    let mut spawn = shell("trap 'exit 7' INT; echo up; kill -STOP $$; while :; do sleep 0.05; done");
    spawn.grace = LIMIT;
    let key = spawn.run.clone();
    let pid = agent.spawn(spawn, &long_lease()).await.unwrap();
    agent.up().await;
    eventually("it is stopped", || crate::support::state(pid) == Some('T'));
    agent.guardian.stop(&key, "told to", None);
    assert_eq!(agent.ended(&key).await.exit, Exit::Code(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_run_that_hides_its_children() {
    for containment in BOTH {
        for hide in [
            // In a session of its own, deaf.
            "setsid sh -c 'trap \"\" INT TERM HUP; sleep MARK; sleep MARK' &",
            // Twice forked, environment cleaned, session of its own: nothing in it tells where it came from.
            "(setsid env -i PATH=$PATH sh -c 'trap \"\" INT TERM; sleep MARK; sleep MARK' &) &",
            // Many.
            "for n in 1 2 3 4 5 6 7 8; do setsid sh -c 'trap \"\" TERM; sleep MARK & sleep MARK; sleep 1' & done;",
        ] {
            for end in ["exit 0", "trap '' INT; sleep MARK; sleep MARK"] {
                let mut agent = Agent::start(containment);
                let marker = marker();
                let script = format!("{hide} sleep 0.2; echo up; {end}").replace("MARK", &marker);
                let spawn = shell(&script);
                let key = spawn.run.clone();
                agent.spawn(spawn, &long_lease()).await.unwrap();
                agent.up().await;
                if end != "exit 0" {
                    eventually("something hides", || alive(&marker).len() > 2);
                    agent.guardian.stop(&key, "told to", None);
                }
                let ended = agent.ended(&key).await;
                assert_eq!(alive(&marker), NOBODY, "{containment:?} {script} {ended:?}");
                assert!(ended.swept > 0, "{containment:?} {script} {ended:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_forks_without_end_is_ended() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let marker = marker();
        // Each generation starts the next in a new session and goes: a moving target, bounded in number.
        let hop = "trap \"\" INT TERM; (setsid sh -c \"$HOP\" hop MARK &); sleep 0.01".replace("MARK", &marker);
        let mut spawn = shell("for n in 1 2 3 4 5; do setsid sh -c \"$HOP\" hop & done; echo up; sleep 1000");
        spawn.env.push(("HOP".into(), hop.into()));
        let key = spawn.run.clone();
        agent.spawn(spawn, &long_lease()).await.unwrap();
        agent.up().await;
        eventually("it hops", || !alive(&marker).is_empty());
        agent.guardian.stop(&key, "told to", None);
        agent.ended(&key).await;
        assert_eq!(alive(&marker), NOBODY, "{containment:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_runs_only_the_one_that_ends_is_swept() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let (stays, goes) = (marker(), marker());
        let daemon = |marker: &str| shell(&format!("(setsid sleep {marker} &) ; sleep 0.1; echo up; sleep {marker}"));
        let (first, second) = (daemon(&stays), daemon(&goes));
        agent.spawn(first, &long_lease()).await.unwrap();
        agent.up().await;
        agent.spawn(second.clone(), &long_lease()).await.unwrap();
        agent.up().await;
        eventually("both trees are up", || alive(&stays).len() == 3 && alive(&goes).len() == 3);
        agent.guardian.stop(&second.run, "told to", None);
        agent.ended(&second.run).await;
        assert_eq!(alive(&goes), NOBODY);
        assert_eq!(alive(&stays).len(), 3, "shell, sleep and daemon: {containment:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_with_its_lease_unless_the_lease_is_extended() {
    let mut agent = Agent::start(Containment::Best);
    let marker = marker();
    let spawn = shell(&format!("echo up; sleep {marker}; sleep {marker}"));
    let key = spawn.run.clone();
    let first = lease(4, Duration::from_millis(600));
    agent.spawn(spawn, &first).await.unwrap();
    agent.up().await;
    let extended = lease(4, Duration::from_secs(2));
    agent.guardian.deadline(&extended);
    eventually("the first lease is over", || !first.is_live(Duration::ZERO, clock::now()));
    assert!(!alive(&marker).is_empty(), "the extension counts");
    let ended = agent.ended(&key).await;
    assert_eq!(ended.by, Cause::Deadline);
    assert!(!extended.is_live(Duration::ZERO, clock::now()), "not a moment before its end");
    assert_eq!(alive(&marker), NOBODY);
    // The same epoch, late but extended again: a healthy agent after a pause.
    let again = shell("true");
    agent.spawn(again.clone(), &lease(4, LIMIT)).await.unwrap();
    assert_eq!(agent.ended(&again.run).await.exit, Exit::Code(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_was_stopped_starts_nothing_more() {
    let mut agent = Agent::start(Containment::Best);
    let spawn = shell("echo up; sleep 1000");
    agent.spawn(spawn.clone(), &lease(4, LIMIT)).await.unwrap();
    agent.up().await;
    agent.guardian.stop_all("lease lost", None);
    let late = agent.spawn(shell("true"), &lease(4, LIMIT)).await;
    assert_eq!(late, Err(GuardianError::Refused(Refusal::NoAuthority(Epoch(4)))));
    assert_eq!(agent.ended(&spawn.run).await.by, Cause::Stop("lease lost".into()));
    agent.spawn(shell("true"), &lease(5, LIMIT)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guardian_does_not_mind_signals() {
    let mut agent = Agent::start(Containment::Best);
    let pid = agent.guardian.pid();
    agent.run(shell("true")).await;
    for kind in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1] {
        signal(pid, kind);
    }
    assert_eq!(agent.run(shell("echo alive")).await.stdout, "alive\n");
    // And the runs did not inherit its deafness.
    let spawn = shell("echo up; exec sleep 1000");
    let run = agent.spawn(spawn.clone(), &long_lease()).await.unwrap();
    agent.up().await;
    signal(run, Signal::TERM);
    assert_eq!(agent.ended(&spawn.run).await.exit, Exit::Signal(Signal::TERM.as_raw()));
    assert!(exists(pid));
}
