//! The guardian as a program of its own: it does what `quorate guardian` does, in a fraction of the memory.

use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::guardian::main()
}
