//! Gossip of many real agents on one machine: cold start, detection of a death, idle traffic; side by side with Serf.
//!
//! Everybody's log comes over a pipe and is timed as it arrives, so nobody is asked anything while it is measured.
//! Three agents found the cluster and are everybody's seeds; the others join them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ExitCode};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serf::Serf;
use crate::support::agent::{Agent, Shape, new_key};
use crate::support::marks::now;
use crate::support::net::Island;
use crate::support::process;
use crate::support::report::{Report, Summary, load, round, with};
use crate::support::wait::{random, sleep, until};

const SEEDS: usize = 3;
const FIRST_PORT: u16 = 20_000;

/// Cold start, detection and traffic of many agents on the loopback, side by side with Serf
///
/// As root everything happens in a network namespace whose loopback counts the traffic; without, traffic is not shown.
/// Serf is taken from Debian's trixie suite into a temporary directory (nothing is installed), or from the PATH.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Sizes of clusters
    #[arg(long, value_delimiter = ',', default_values_t = [3, 20, 50])]
    nodes: Vec<usize>,
    /// Cold starts of each size, each with one death
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// How long to watch the idle cluster, once for each size
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// gossip { profile }
    #[arg(long, default_value = "lan")]
    profile: String,
    /// Without Serf
    #[arg(long)]
    no_serf: bool,
    /// One start of each size, 10 seconds
    #[arg(long)]
    quick: bool,
}

/// What an agent's log said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Alive,
    Down,
}

/// A program that is measured.
pub(crate) trait Program {
    /// For the table.
    fn name(&self) -> &'static str;
    /// Starts number `number` of `nodes`, with its log on a pipe.
    fn start(&mut self, number: usize, nodes: usize, namespace: Option<&str>) -> Box<dyn Read + Send>;
    /// Its processes.
    fn pids(&mut self, number: usize) -> Vec<u32>;
    /// What a line of its log says, and of whom.
    fn parse(&self, line: &str) -> Option<(Word, usize)>;
    /// Ends everything and forgets it.
    fn clear(&mut self);
}

/// What one size took.
#[derive(Debug, Default)]
struct Figures {
    full_view: Vec<Duration>,
    all_down: Vec<Duration>,
    /// Per agent and second: bytes, packets.
    traffic: Option<(f64, f64)>,
    /// Of a core, all agents together.
    cpu: f64,
    /// KiB, all agents together: resident, proportional.
    memory: (u64, u64),
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let (starts, seconds) = if arguments.quick { (1, 10.0) } else { (arguments.starts, arguments.seconds) };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores, load average {} at the start; profile {}; {starts} cold starts of each size",
        load(),
        arguments.profile
    );
    let island = Island::new();
    if island.is_none() {
        println!("without root and ip (iproute2): on the machine's own loopback, the traffic is not counted");
    }
    let serf = if arguments.no_serf { Err("not asked for".to_owned()) } else { Serf::find() };
    let mut report = Report::default();
    println!(
        "  {:<8} {:>3} {:>19} {:>19} {:>11} {:>11} {:>9} {:>11} {:>11}",
        "",
        "N",
        "full view s: med/max",
        "all see death: m/max",
        "B/s each",
        "packets/s",
        "CPU %",
        "RSS MiB each",
        "PSS MiB each"
    );
    let mut programs: Vec<Box<dyn Program>> = vec![Box::new(Quorate::new(&arguments.profile))];
    match serf {
        Ok(serf) => programs.push(Box::new(serf)),
        Err(why) => println!("  serf: not available ({why})"),
    }
    for &nodes in &arguments.nodes {
        let mut first: Option<(f64, f64)> = None;
        for program in &mut programs {
            let mut figures = Figures::default();
            for start in 0..starts {
                let seconds = if start == 0 { Some(seconds) } else { None };
                one(program.as_mut(), nodes, island.as_ref(), seconds, &mut figures);
                program.clear();
            }
            let line = show(program.name(), nodes, &figures);
            let medians = (Summary::of(&figures.full_view).median, Summary::of(&figures.all_down).median);
            let ratio = match first {
                Some((view, down)) => {
                    println!(
                        "           against quorate: full view x{:.1}, death x{:.1}",
                        medians.0 / view,
                        medians.1 / down
                    );
                    json!({ "full_view_ratio": round(medians.0 / view), "death_ratio": round(medians.1 / down) })
                }
                None => json!({}),
            };
            first = first.or(Some(medians));
            report.add("gossip", &with(with(line, &ratio), &json!({ "profile": arguments.profile })));
        }
    }
    println!("  aim at 50: full view below 2 s in every run, death seen by all below 2.5 s");
    println!("  traffic: IP and UDP or TCP headers included, as the loopback counts it; CPU: of one core, all agents");
    report.print();
    ExitCode::SUCCESS
}

fn show(name: &str, nodes: usize, figures: &Figures) -> Value {
    let (view, down) = (Summary::of(&figures.full_view), Summary::of(&figures.all_down));
    let pair = |summary: Summary| format!("{:.2} / {:.2}", summary.median, summary.worst);
    let (bytes, packets) = figures.traffic.unwrap_or_default();
    let each = |kib: u64| kib as f64 / 1024.0 / nodes as f64;
    let (resident, proportional) = (each(figures.memory.0), each(figures.memory.1));
    let cpu = figures.cpu;
    println!(
        "  {name:<8} {nodes:>3} {:>19} {:>19} {bytes:>11.0} {packets:>11.1} {cpu:>9.2} {resident:>11.2} {proportional:>11.2}",
        pair(view),
        pair(down)
    );
    json!({
        "program": name, "nodes": nodes, "full_view": view.json(), "death_seen_by_all": down.json(),
        "bytes_per_s_each": round(bytes), "packets_per_s_each": round(packets), "cpu_percent_all": round(cpu),
        "rss_mib_each": round(resident), "pss_mib_each": round(proportional),
    })
}

/// A cold start, an idle time, a death.
fn one(program: &mut dyn Program, nodes: usize, island: Option<&Island>, idle: Option<f64>, figures: &mut Figures) {
    let (lines, heard) = mpsc::channel();
    let begun = now();
    for number in 0..nodes {
        let log = program.start(number, nodes, island.map(Island::name));
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines() {
                let Ok(line) = line else { return };
                if lines.send((number, now(), line)).is_err() {
                    return;
                }
            }
        });
    }
    let mut seen = BTreeSet::new();
    let mut last = begun;
    let listen = |wanted: Word, seen: &mut BTreeSet<(usize, usize)>, last: &mut Duration, program: &dyn Program| {
        for (number, at, line) in drain(&heard) {
            let said = program.parse(&line).filter(|(word, of)| *word == wanted && *of != number);
            if let Some((_, of)) = said
                && seen.insert((number, of))
            {
                *last = at;
            }
        }
    };
    until("every agent lists every other", Duration::from_millis(20), || {
        listen(Word::Alive, &mut seen, &mut last, program);
        seen.len() == nodes * (nodes - 1)
    });
    figures.full_view.push(last - begun);
    sleep(Duration::from_secs(3));
    if let Some(seconds) = idle {
        watch(program, nodes, island, seconds, figures);
    }
    sleep(random(Duration::from_secs(1)));
    listen(Word::Down, &mut BTreeSet::new(), &mut last, program);
    // A founder at N = 3, one of the others else.
    let victim = nodes - 1;
    let pids = program.pids(victim);
    let struck = now();
    pids.into_iter().rev().for_each(|pid| process::signal(pid, Signal::KILL));
    let mut seen = BTreeSet::new();
    until("all see the death", Duration::from_millis(20), || {
        listen(Word::Down, &mut seen, &mut last, program);
        seen.iter().filter(|(_, of)| *of == victim).count() == nodes - 1
    });
    figures.all_down.push(last - struck);
}

fn watch(program: &mut dyn Program, nodes: usize, island: Option<&Island>, seconds: f64, figures: &mut Figures) {
    // The announcements after a cold start are over by then.
    sleep(Duration::from_secs(5));
    let pids: Vec<u32> = (0..nodes).flat_map(|number| program.pids(number)).collect();
    let cpu = || pids.iter().map(|pid| process::cpu(*pid)).sum::<Duration>();
    let carried = || island.map(Island::carried);
    let (before, used, begun) = (carried(), cpu(), now());
    sleep(Duration::from_secs_f64(seconds));
    let took = (now() - begun).as_secs_f64();
    figures.cpu = (cpu() - used).as_secs_f64() / took * 100.0;
    let rate = |now: u64, before: u64| (now - before) as f64 / took / nodes as f64;
    figures.traffic = before.zip(carried()).map(|(before, now)| (rate(now.0, before.0), rate(now.1, before.1)));
    let memory = pids.iter().map(|pid| process::memory(*pid));
    figures.memory = memory.fold((0, 0), |sum, one| (sum.0 + one.resident, sum.1 + one.proportional));
}

fn drain<T>(receiver: &Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(|| receiver.try_recv().ok())
}

/// Where an agent gossips.
pub(crate) fn gossip(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + u16::try_from(number).expect("a small number")))
}

/// Where its API is.
pub(crate) fn api(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + 1_000 + u16::try_from(number).expect("a small number")))
}

/// Its name.
pub(crate) fn name(number: usize) -> String {
    format!("n{number:03}")
}

/// The number in a name.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('n')?.parse().ok()
}

/// Whom everybody asks first.
pub(crate) fn seeds(nodes: usize) -> impl Iterator<Item = SocketAddr> {
    (0..SEEDS.min(nodes)).map(gossip)
}

/// Kills and takes away.
pub(crate) fn end(mut child: Child) {
    drop(child.kill());
    drop(child.wait());
}

/// Our own program.
struct Quorate {
    profile: String,
    key: String,
    agents: Vec<Agent>,
    dir: Option<tempfile::TempDir>,
}

impl Quorate {
    fn new(profile: &str) -> Self {
        Self { profile: profile.to_owned(), key: new_key(), agents: Vec::new(), dir: None }
    }
}

impl Program for Quorate {
    fn name(&self) -> &'static str {
        "quorate"
    }

    fn start(&mut self, number: usize, nodes: usize, namespace: Option<&str>) -> Box<dyn Read + Send> {
        let make = || tempfile::Builder::new().prefix("quorate-bench-").tempdir().expect("make a directory");
        let dir = self.dir.get_or_insert_with(make);
        let shape = Shape {
            profile: self.profile.clone(),
            settle: "1h".to_owned(),
            expect: SEEDS.min(nodes),
            join: seeds(nodes).map(|seed| seed.to_string()).collect(),
            key: self.key.clone(),
            command: Vec::new(),
            blocks: String::new(),
        };
        let namespace = namespace.map(str::to_owned);
        let mut agent = Agent::new(name(number), dir.path(), gossip(number), api(number), namespace);
        agent.configure(&shape);
        let log = agent.start_piped();
        self.agents.push(agent);
        Box::new(log)
    }

    fn pids(&mut self, number: usize) -> Vec<u32> {
        self.agents[number].pids()
    }

    fn parse(&self, line: &str) -> Option<(Word, usize)> {
        let word = [("member is alive", Word::Alive), ("member is down", Word::Down)];
        let (_, word) = word.into_iter().find(|(text, _)| line.contains(text))?;
        let (_, rest) = line.split_once("member=")?;
        Some((word, number(rest.split_whitespace().next()?)?))
    }

    fn clear(&mut self) {
        self.agents.clear();
        self.dir = None;
    }
}
