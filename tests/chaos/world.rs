//! The cluster, the schedule of faults, and the verdict.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use crate::clients::Clients;
use crate::faults::{self, Disk, Fault};
use crate::harness::Site;
use crate::harness::wait::within;
use crate::judge::Judge;
use crate::keys::Operator;
use crate::options::Options;
use crate::watch::Watch;

const HOSTS: usize = 5;
/// A cluster that is healed must lead within this, also on a busy machine.
const HEALED: Duration = Duration::from_mins(1);
/// Each run makes the resource anew, so each run has something to lose.
const MODULE: &str = r#"
variable "services" {}
variable "program" {}
variable "socket" {}
variable "agent" {}
resource "terraform_data" "each" {
  triggers_replace = timestamp()
  provisioner "local-exec" {
    command     = "\"$PROGRAM\" work \"$SOCKET\" \"$AGENT\" 800"
    environment = { PROGRAM = var.program, SOCKET = var.socket, AGENT = var.agent }
  }
}
"#;
/// Where Debian keeps it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Runs the schedule; what went wrong.
pub(crate) fn run(options: &Options) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut site = Site::on_hosts(HOSTS, "lan", "3200ms", Vec::new());
    let judge = Judge::start(site.path());
    let clocks = Path::new(FAKETIME).exists();
    if !clocks {
        println!("chaos: no clock jumps, libfaketime is not installed ({FAKETIME})");
    }
    let disks: Vec<Disk> = (0..HOSTS).map(|host| Disk::mount(&site[host].data())).collect();
    for host in 0..HOSTS {
        configure(&mut site, host, &judge, clocks);
        site[host].start();
    }
    for host in 0..HOSTS {
        site[host].wait_up();
    }
    site.wait_leader(0, &[0, 1, 2, 3, 4]);
    let doors = || (0..HOSTS).map(|host| site[host].door()).collect::<Vec<_>>();
    let (watch, clients) = (Watch::start(doors()), Clients::start(doors(), 3, options.seed));
    let operator = Operator::start(doors(), options.seed);
    watch.faults(&[], HOSTS);
    let begun = Instant::now();
    let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut rounds = 0;
    while begun.elapsed() < options.length && failures.is_empty() {
        rounds += 1;
        let early = begun.elapsed() < options.length / 3;
        let count = if early { 1 } else { rng.random_range(1..=3) };
        let mut now: Vec<Fault> = Vec::new();
        while now.len() < count {
            let fault = Fault::random(&mut rng, HOSTS, clocks);
            // One thing at a time happens to one process.
            if fault.removes().is_none_or(|host| !now.iter().any(|other| other.removes() == Some(host))) {
                now.push(fault);
            }
        }
        let hold = Duration::from_millis(rng.random_range(1_500..6_000));
        let names: Vec<String> = now.iter().map(ToString::to_string).collect();
        println!(
            "chaos: {:>6.1} s: {}, for {:.1} s",
            begun.elapsed().as_secs_f64(),
            names.join("; "),
            hold.as_secs_f64()
        );
        watch.faults(&now, HOSTS);
        for fault in &now {
            *kinds.entry(fault.kind()).or_default() += 1;
            inject(&mut site, &disks, fault);
        }
        std::thread::sleep(hold);
        for fault in &now {
            mend(&mut site, &disks, fault);
        }
        failures.extend(revive(&mut site, &now));
        site.net.as_ref().expect("hosts").heal();
        let healed = Instant::now();
        while site_leader(&site).is_none() && healed.elapsed() < HEALED {
            std::thread::sleep(Duration::from_millis(20));
        }
        if site_leader(&site).is_none() {
            failures.push(format!("nobody leads {HEALED:?} after everything was healed"));
        }
        watch.faults(&[], HOSTS);
        std::thread::sleep(Duration::from_millis(rng.random_range(500..2_500)));
        let record = judge.record();
        failures.extend(record.overlaps.iter().take(3).map(|text| format!("overlap: {text}")));
    }
    if failures.is_empty() {
        // Whoever it is: the lowest id takes over only when it has been steady for up to five minutes after so many falls.
        within(HEALED, "one agent leads and all say so", || {
            let views: Vec<_> = (0..HOSTS).filter_map(|host| site.view(host)?.leader).collect();
            let leader = site_leader(&site).map(|host| site[host].id.clone());
            views.len() == HOSTS && leader.is_some_and(|leader| views.iter().all(|seen| *seen == leader))
        });
        for host in 0..HOSTS {
            site.wait_view(host, "all are alive", |view| view.members.iter().all(|member| member.state == "alive"));
        }
        settle(&judge);
    }
    let gaps = watch.end();
    let healthy = failures.is_empty();
    let ledger = if healthy { Some(clients.end()) } else { None };
    let rotations = if healthy { Some(operator.end(HEALED)) } else { None };
    let record = judge.record();
    failures.extend(record.overlaps.iter().map(|text| format!("overlap: {text}")));
    let mut report =
        format!("\nchaos report: {} s, {rounds} rounds, seed {}\n", begun.elapsed().as_secs(), options.seed);
    for (kind, count) in &kinds {
        let _written = writeln!(report, "  {kind:<22}{count:>6}");
    }
    let ended: Vec<String> = record.ended.iter().map(|(task, count)| format!("{task} {count}")).collect();
    let _written = writeln!(report, "  runs: {} begun; to their own end: {}", record.all_runs(), ended.join(", "));
    let _written = writeln!(report, "  lines at the judge: {}; refused by the fence: {}", record.lines, record.refused);
    let _written = writeln!(report, "  overlaps: {}", record.overlaps.len());
    if let Some(ledger) = &ledger {
        let _written = writeln!(
            report,
            "  API changes acknowledged: {}, refused: {}, outcome unknown: {}; reads checked: {}; acknowledged and lost: {}",
            ledger.acknowledged,
            ledger.refused,
            ledger.unknown,
            ledger.reads,
            ledger.lost.len()
        );
        failures.extend(ledger.lost.iter().take(10).cloned());
        if ledger.acknowledged == 0 {
            failures.push("no change was acknowledged: the clients proved nothing".to_owned());
        }
    }
    if let Some(steps) = &rotations {
        let _written = writeln!(report, "  keys: {:?}, refused or not answered: {}", steps.done, steps.refused);
        failures.extend(steps.odd.iter().take(5).cloned());
        for name in ["install", "use", "remove"] {
            if steps.done.get(name).is_none_or(|count| *count == 0) {
                failures.push(format!("no key came to {name}: the operator proved nothing"));
            }
        }
    }
    let _written = writeln!(
        report,
        "  leaders: {} changes; longest without one while a majority was connected: {:.2} s",
        gaps.changes,
        gaps.longest.as_secs_f64()
    );
    println!("{report}");
    for task in ["tick", "long", "fenced", "flock", "net"] {
        if record.ended.get(task).is_none_or(|count| *count == 0) {
            failures.push(format!("task {task} never came to its end: the run proved nothing"));
        }
    }
    drop(record);
    if failures.is_empty() {
        site.end();
    } else {
        for host in 0..HOSTS {
            println!("---- {}\n{}", site[host].id, crate::harness::agent::tail(&site[host].log(), 40));
        }
        drop(site);
    }
    drop(disks);
    failures
}

fn site_leader(site: &Site) -> Option<usize> {
    (0..HOSTS).find(|host| site[*host].leads())
}

/// The tasks tell the judge; one of them by Terraform.
fn configure(site: &mut Site, host: usize, judge: &Judge, clocks: bool) {
    let program = std::env::current_exe().expect("this program").display().to_string();
    let socket = judge.socket.display().to_string();
    let id = site[host].id.clone();
    let mut text = String::new();
    let task = |text: &mut String, name: &str, ms: u32, condition: &str| {
        let command = [program.as_str(), "work", &socket, &id, &ms.to_string()].map(str::to_owned);
        let _written = write!(
            text,
            "\ntask {{\n  name    = \"{name}\"\n  command = {command:?}\n  grace   = \"1s\"\n  {condition}\n}}\n"
        );
    };
    task(&mut text, "tick", 200, "condition \"schedule\" { cron = \"* * * * * * *\" }");
    task(&mut text, "long", 4_000, "condition \"schedule\" { cron = \"*/6 * * * * * *\" }");
    task(&mut text, "fenced", 700, "condition \"schedule\" { cron = \"*/2 * * * * * *\" }");
    task(&mut text, "flock", 100, "condition \"members\" {}");
    // Terraform, its state kept by the cluster: each run makes its resource anew, and that tells the judge.
    let module = site.path().join("module");
    std::fs::create_dir_all(&module).expect("make the module's directory");
    std::fs::write(module.join("main.tf"), MODULE).expect("write the module");
    let quoted = |text: &str| format!("{:?}", format!("{text:?}"));
    let _written = write!(
        text,
        "\ntask {{\n  name = \"net\"\n  module = \"{}\"\n  grace = \"2s\"\n  variables = {{ program = {}, socket = {}, agent = {} }}\n  \
         condition \"schedule\" {{ cron = \"*/9 * * * * * *\" }}\n}}\n",
        module.display(),
        quoted(&program),
        quoted(&socket),
        quoted(&id),
    );
    site.shape.more = text;
    site.configure(host);
    if clocks {
        let offset = site[host].dir.join("clock");
        std::fs::write(&offset, "+0").expect("write the clock's offset");
        site[host].env = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_CACHE_DURATION", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    }
}

fn inject(site: &mut Site, disks: &[Disk], fault: &Fault) {
    let net = site.net.as_ref().expect("hosts");
    match fault {
        Fault::Split(group) | Fault::Mute(group) => {
            let both = matches!(fault, Fault::Split(_));
            for a in group {
                for b in (0..HOSTS).filter(|b| !group.contains(b)) {
                    net.deafen(b, *a);
                    if both {
                        net.deafen(*a, b);
                    }
                }
            }
        }
        Fault::OneWay { deaf, to } => net.deafen(*deaf, *to),
        Fault::Loss(percent) => {
            for host in 0..HOSTS {
                let rule = format!("ip saddr 10.77.0.0/24 numgen random mod 100 < {percent} drop");
                faults::disturb(&net.host(host), &rule);
            }
        }
        Fault::Corruption(host, percent) => {
            let rule = format!("udp dport 8559 numgen random mod 100 < {percent} @th,160,8 set 0x7a");
            faults::disturb(&net.host(*host), &rule);
        }
        Fault::Delay(host) => faults::slow(&net.host(*host), true),
        Fault::Duplicates(host, percent) => {
            let to = (host + 1) % HOSTS;
            faults::duplicate(&net.switch(), &format!("p{host}"), &format!("p{to}"), *percent);
        }
        Fault::Pause(host) => site[*host].signal(Signal::STOP),
        Fault::Kill(host) => site[*host].kill(),
        Fault::PowerCut(host) => {
            let namespace = net.host(*host);
            power_cut(site, *host, &namespace);
        }
        Fault::Stop(host) => {
            site[*host].signal(Signal::TERM);
            site[*host].wait_end();
        }
        Fault::FullDisk(host) => disks[*host].fill(),
        Fault::Clock(host, seconds) => {
            std::fs::write(site[*host].dir.join("clock"), format!("{seconds:+}")).expect("move the clock");
        }
    }
}

/// Everything on a host stops, then is gone: nobody there says a last word.
fn power_cut(site: &mut Site, host: usize, namespace: &str) {
    site[host].find_guardian();
    for signal in ["-STOP", "-KILL"] {
        let pids = Command::new("ip").args(["netns", "pids", namespace]).output().expect("run ip");
        let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        if !pids.is_empty() {
            drop(Command::new("kill").arg(signal).args(&pids).output());
        }
    }
    site[host].wait_end();
}

fn mend(site: &mut Site, disks: &[Disk], fault: &Fault) {
    let net = site.net.as_ref().expect("hosts");
    match fault {
        Fault::Split(_) | Fault::Mute(_) | Fault::OneWay { .. } => net.heal(),
        Fault::Loss(_) => (0..HOSTS).for_each(|host| faults::disturb(&net.host(host), "")),
        Fault::Corruption(host, _) => faults::disturb(&net.host(*host), ""),
        Fault::Delay(host) => faults::slow(&net.host(*host), false),
        Fault::Duplicates(host, _) => faults::duplicate(&net.switch(), &format!("p{host}"), "", 0),
        Fault::Pause(host) => site[*host].signal(Signal::CONT),
        Fault::FullDisk(host) => disks[*host].clear(),
        Fault::Clock(host, _) => std::fs::write(site[*host].dir.join("clock"), "+0").expect("mend the clock"),
        Fault::Kill(_) | Fault::PowerCut(_) | Fault::Stop(_) => {}
    }
}

/// Starts what was ended. An agent that ended and was not asked to is a failure.
fn revive(site: &mut Site, faults: &[Fault]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut down = Vec::new();
    for host in 0..HOSTS {
        let ended = |fault: &Fault| match fault {
            Fault::Kill(h) | Fault::PowerCut(h) | Fault::Stop(h) => *h == host,
            _ => false,
        };
        if faults.iter().any(ended) {
            down.push(host);
        } else if !site[host].is_running() {
            failures.push(format!("{} ended by itself", site[host].id));
        }
    }
    for host in down {
        site[host].start();
        site[host].wait_up();
    }
    failures
}

/// With everything healed, every task comes to its end once more.
fn settle(judge: &Judge) {
    let ended = |task: &str| judge.record().ended.get(task).copied().unwrap_or(0);
    for task in ["tick", "fenced", "long", "net"] {
        let before = ended(task);
        within(HEALED, &format!("{task} runs to its end after all faults"), || ended(task) > before);
    }
}
