//! The `quorate` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the guardian is to stay small, and takes no options of ours.
    if std::env::args_os().nth(1).is_some_and(|word| word == "guardian") {
        return quorate::guardian::main();
    }
    quorate::cli::run(std::env::args_os())
}
