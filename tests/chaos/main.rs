//! Real agents on five hosts of their own, every fault that can be made here, and a judge outside.
//!
//! `scripts/chaos --minutes 30 --seed N` runs it for long; `cargo test --test chaos` for a short time. Each agent has a network
//! namespace and a data directory on a small file system of its own. Tasks of several kinds tell the judge what they do
//! ([`judge`]); clients change tasks all the time ([`clients`]), and an operator the key of the traffic ([`keys`]). One fault at a time first, then several; each is mended, and
//! at the end everything must be well: no overlap, nothing acknowledged lost, one leader for all, nothing left behind.
//!
//! Needs root, iproute2, nftables and, for clock jumps, libfaketime; terraform or tofu on the PATH.
#![expect(clippy::disallowed_methods, reason = "it measures on the real clocks and draws a seed when none is given")]
#![expect(clippy::print_stdout, reason = "the report is printed")]

mod clients;
mod faults;
#[path = "../cluster/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "made for the tests of clusters; this one needs a part of it")]
mod harness;
mod judge;
mod keys;
mod options;
mod watch;
mod worker;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &args[..]
        && first == "work"
    {
        return worker::work(rest);
    }
    if args.iter().any(|arg| arg == "--list") {
        println!("{}: test", options::NAME);
        return ExitCode::SUCCESS;
    }
    let options = match options::Options::parse(&args) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            println!("{why}");
            return ExitCode::from(2);
        }
    };
    judge::prove();
    clients::prove();
    watch::prove();
    println!(
        "chaos: {} s with seed {}; again: scripts/chaos --minutes {} --seed {}",
        options.length.as_secs(),
        options.seed,
        options.length.as_secs().div_ceil(60),
        options.seed
    );
    let failures = world::run(&options);
    if failures.is_empty() {
        println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        return ExitCode::SUCCESS;
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    println!("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::FAILURE
}
