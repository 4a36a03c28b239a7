//! Many leaders killed in a row, in the state in which users live: with a key, the default `settle`, agents that come back,
//! with and without a run in flight.
//!
//! Each kind of strike and size of cluster is a cluster of its own on the loopback; all of them are measured at the same
//! time. A round that takes longer than [`SLOW`] prints what the survivors logged.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::Signal;
use serde_json::json;

use crate::support::agent::{self, Agent, Shape};
use crate::support::marks::{self, now};
use crate::support::report::{Report, Summary, load, round, with};
use crate::support::wait::{random, sleep, until};

/// What the project aims at, after the end of a process.
const SLOW: Duration = Duration::from_millis(150);
/// The same after the end of a host.
const SLOW_HOST: Duration = Duration::from_millis(900);
/// Ports of one cluster: gossip and API of up to ten agents.
const PORTS: u16 = 20;

/// Leaders killed in a row, and how long until the next one's first run
///
/// Needs no rights and no other program. Measures all sizes and strikes at once; the defaults take about 15 minutes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Sizes of clusters
    #[arg(long, value_delimiter = ',', default_values_t = [3, 5, 7])]
    nodes: Vec<usize>,
    /// How the leader is struck
    #[arg(long, value_delimiter = ',', default_values_t = [Strike::Kill], value_enum)]
    strikes: Vec<Strike>,
    /// Whether a run is in flight at the strike
    #[arg(long, value_delimiter = ',', default_values_t = [false, true])]
    run: Vec<bool>,
    /// Strikes in a row
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Least pause between all being calm and the next strike, in seconds
    #[arg(long, default_value_t = 1.0)]
    from: f64,
    /// Longest pause, in seconds
    #[arg(long, default_value_t = 15.0)]
    to: f64,
    /// gossip { profile }
    #[arg(long, default_value = "lan")]
    profile: String,
    /// First port; 40 for each cluster are used from there
    #[arg(long, default_value_t = 24_000)]
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strike {
    /// SIGKILL of the agent, as the OOM killer does it: its guardian lives
    Kill,
    /// SIGABRT of the agent, as a panic ends it
    Abort,
    /// SIGKILL of the guardian alone
    Guardian,
    /// SIGKILL of both, as when a host dies
    Host,
}

impl std::fmt::Display for Strike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// One cluster and how it is struck.
struct Course {
    nodes: usize,
    strike: Strike,
    run: bool,
    port: u16,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    times: Vec<Duration>,
    /// Claims that were given up because another agent claimed the same epoch.
    contentions: usize,
    /// Claims that came to nothing for another reason.
    failed_claims: usize,
    slow: Vec<String>,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut courses = Vec::new();
    let mut port = arguments.port;
    for &strike in &arguments.strikes {
        for &nodes in &arguments.nodes {
            for &run in &arguments.run {
                courses.push(Course { nodes, strike, run, port });
                port += PORTS * 2;
            }
        }
    }
    println!("load average {} at the start; profile {}; {} clusters at once", load(), arguments.profile, courses.len());
    println!("\nFrom the strike to the next leader's first run, seconds ({} rounds each)", arguments.rounds);
    println!("  strike     N   run   median      p99    worst   slow   claims given up, failed");
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = courses.iter().map(|course| scope.spawn(|| measure(course, arguments))).collect();
        for (course, running) in courses.iter().zip(running) {
            match running.join() {
                Ok(outcome) => print(course, &outcome, arguments, &mut report),
                Err(_) => println!("  {:<8} {:>3}: ended early, see above", course.strike.to_string(), course.nodes),
            }
        }
    });
    report.print();
    ExitCode::SUCCESS
}

fn print(course: &Course, outcome: &Outcome, arguments: &Arguments, report: &mut Report) {
    let summary = Summary::of(&outcome.times);
    let Summary { median, p99, worst, .. } = summary;
    let Outcome { contentions, failed_claims, slow, .. } = outcome;
    let (strike, run) = (course.strike.to_string(), if course.run { "yes" } else { "no" });
    let (nodes, slow_count) = (course.nodes, slow.len());
    println!(
        "  {strike:<8} {nodes:>3} {run:>5} {median:>8.3} {p99:>8.3} {worst:>8.3} {slow_count:>6}   {contentions}, {failed_claims}"
    );
    for story in slow {
        println!("{story}");
    }
    let all: Vec<f64> = outcome.times.iter().map(|time| round(time.as_secs_f64())).collect();
    let line = json!({
        "strike": strike, "nodes": nodes, "run": course.run, "profile": arguments.profile, "slow": slow_count,
        "claims_given_up": contentions, "claims_failed": failed_claims, "all_s": all,
    });
    report.add("kills", &with(line, &summary.json()));
}

fn measure(course: &Course, arguments: &Arguments) -> Outcome {
    let dir = tempfile::Builder::new().prefix("quorate-kills-").tempdir().expect("make a directory");
    let record = dir.path().join("marks");
    let mut agents = found(course, arguments, dir.path(), &record);
    let mut outcome = Outcome::default();
    for number in 0..arguments.rounds {
        let leader = calm(&agents, &record);
        let spread = Duration::from_secs_f64((arguments.to - arguments.from).max(0.0));
        sleep(Duration::from_secs_f64(arguments.from) + random(spread));
        // It may have gone to a lower id meanwhile.
        let leader = if calm(&agents, &record) == leader { leader } else { calm(&agents, &record) };
        once(course, number, leader, &mut agents, &record, &mut outcome);
    }
    outcome
}

fn found(course: &Course, arguments: &Arguments, dir: &Path, record: &Path) -> Vec<Agent> {
    let exe = std::env::current_exe().expect("this program");
    let words = [exe, PathBuf::from("mark"), record.to_owned()];
    let at = |number: usize, of: u16| {
        let port = course.port + of + u16::try_from(number).expect("few agents");
        std::net::SocketAddr::from(([127, 0, 0, 1], port))
    };
    // It never ends by itself.
    let hangs = "\ntask {\n  name    = \"hangs\"\n  command = [\"sleep\", \"100000\"]\n}\n";
    let shape = Shape {
        profile: arguments.profile.clone(),
        settle: "10s".to_owned(),
        expect: course.nodes,
        join: (0..course.nodes).map(|number| at(number, PORTS).to_string()).collect(),
        key: agent::new_key(),
        command: words.iter().map(|word| word.display().to_string()).collect(),
        blocks: if course.run { hangs.to_owned() } else { String::new() },
    };
    let agent = |number| Agent::new(format!("a{}", number + 1), dir, at(number, PORTS), at(number, 0), None);
    let mut agents: Vec<Agent> = (0..course.nodes).map(agent).collect();
    for agent in &mut agents {
        agent.configure(&shape);
        agent.start();
    }
    agents
}

/// Waits until everybody is alive in the eyes of everybody, and the leader of all has run its task.
fn calm(agents: &[Agent], record: &Path) -> usize {
    let mut leader = None;
    until("all agents are alive and follow one leader", Duration::from_millis(100), || {
        let views: Option<Vec<_>> = agents.iter().map(Agent::view).collect();
        let Some(views) = views else { return false };
        let Some(first) = views.first() else { return false };
        let one = |view: &quorate::http::reply::Cluster| {
            view.leader.is_some()
                && view.leader == first.leader
                && view.epoch == first.epoch
                && view.members.iter().filter(|member| member.healthy).count() == agents.len()
        };
        leader = agents.iter().position(|agent| Some(&agent.id) == first.leader.as_ref());
        views.iter().all(one) && marks::read(record).iter().any(|mark| mark.epoch == first.epoch)
    });
    leader.expect("the wait has ended")
}

fn once(course: &Course, number: usize, leader: usize, agents: &mut [Agent], record: &Path, outcome: &mut Outcome) {
    let before = marks::read(record).iter().map(|mark| mark.epoch).max().unwrap_or_default();
    let logs: Vec<u64> = agents.iter().map(Agent::log_length).collect();
    let id = agents[leader].id.clone();
    agents[leader].pids();
    let struck = now();
    match course.strike {
        Strike::Kill => agents[leader].signal(Signal::KILL),
        Strike::Abort => agents[leader].signal(Signal::ABORT),
        Strike::Guardian => agents[leader].signal_guardian(Signal::KILL),
        Strike::Host => agents[leader].die(),
    }
    let mut next = None;
    until("the next leader runs its task", Duration::from_millis(2), || {
        next = marks::read(record).into_iter().find(|mark| mark.epoch > before && mark.agent != id);
        next.is_some()
    });
    let took = next.map_or(Duration::ZERO, |mark| mark.at.saturating_sub(struck));
    outcome.times.push(took);
    let mut story = String::new();
    for (agent, log) in agents.iter().zip(logs).filter(|(agent, _)| agent.id != id) {
        let news = agent.log_since(log);
        outcome.contentions += news.matches("claim given up").count();
        outcome.failed_claims += news.matches("claim failed").count();
        for line in news.lines() {
            writeln!(story, "      {}: {line}", agent.id).expect("text");
        }
    }
    let limit = if course.strike == Strike::Host { SLOW_HOST } else { SLOW };
    if took > limit {
        let seconds = took.as_secs_f64();
        outcome.slow.push(format!("    round {number}, {id} struck: {seconds:.3} s\n{story}"));
    }
    agents[leader].wait_end();
    agents[leader].start();
}
