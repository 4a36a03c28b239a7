//! `quorate manual`: pages for man(1), made from what `-help` shows.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use clap_mangen::Man;

use super::output::{Failure, say};

/// Flags of `manual`.
#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// Existing directory that the pages are written to
    dir: PathBuf,
}

pub(super) fn run(args: &ManualArgs, mut command: clap::Command) -> Result<(), Failure> {
    command.build();
    let written = write(&command, "quorate", &args.dir)
        .map_err(|error| Failure::new(format!("unable to write pages to {}\n{error}", args.dir.display())))?;
    say(&format!("==> {written} pages are in {}; read one with man -l FILE\n", args.dir.display()))
}

/// A page for the command and for each below it, named as git's are.
fn write(command: &clap::Command, name: &str, dir: &Path) -> io::Result<usize> {
    let command = command.clone().display_name(name.to_owned()).bin_name(name.replace('-', " "));
    // The name of step-down has a dash of its own; what stands in the page is the command as it is typed.
    let page = Man::new(command.clone()).title(name.to_uppercase()).section("1").manual("Quorate");
    let mut bytes = Vec::new();
    page.render(&mut bytes)?;
    fs::write(dir.join(format!("{name}.1")), bytes)?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        written += write(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(written)
}
