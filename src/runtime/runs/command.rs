//! A task that runs a command: its input on standard input and in a file.

use std::ffi::OsString;
use std::path::Path;

use super::Runner;
use super::exec::{Ended, Prints, Stopped};
use crate::guardian::{Cause, Exit, RunKey, Spawn};
use crate::task::Start;
use crate::terraform::directory::Directory;

/// What is kept of a failed command's output for its event, in bytes.
const ERROR_TAIL: usize = 2 * 1024;
/// The input, in the directory of the task.
const INPUT: &str = "input.json";

impl Runner {
    /// Writes the input, and says what to start.
    pub(super) async fn prepare_command(&self, start: &Start, argv: &[String]) -> Result<Box<Spawn>, Stopped> {
        let secrets = self.secrets(start).await?;
        let input = start.document().to_string().into_bytes();
        let dir = start.spec.working_dir.clone();
        let file = dir.join(INPUT);
        let (bytes, shared) = (input.clone(), secrets.clone());
        // For people, and for programs that do not read standard input. Private: it may hold what others must not see.
        let write = move || {
            let written = Directory::open(&dir).and_then(|directory| directory.replace(INPUT, &bytes));
            written.map_err(|error| error.to_string()).and_then(|_| shared.give())
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|error| error.to_string()).flatten().map_err(Stopped::Failed)?;
        let mut spawn = Spawn::new(RunKey::new(start.task.as_str(), start.run.0), argv.iter().map(OsString::from), ".");
        spawn.env = self.base(&start.spec, &secrets);
        spawn.env.push(("QUORATE_INPUT".into(), absolute(&file).into()));
        spawn.launch = secrets.launch();
        spawn.stdin = input;
        spawn.grace = start.spec.grace;
        Ok(Box::new(spawn))
    }

    pub(super) async fn command(&self, start: &Start, spawn: Box<Spawn>) -> Result<(), Stopped> {
        let program = spawn.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let ended = self.exec(*spawn, start, Prints::Text, &mut |_, _, _| {}).await?;
        match (&ended.by, ended.exit) {
            (Cause::Itself, Exit::Code(0)) => Ok(()),
            (Cause::Itself, exit) => Err(Stopped::Failed(with_tail(&format!("{program} ended with {exit}"), &ended))),
            (by, _) => Err(Stopped::Interrupted(by.to_string())),
        }
    }
}

/// The error with the end of what the command said.
pub(super) fn with_tail(text: &str, ended: &Ended) -> String {
    let said = if ended.stderr.trim_ascii().is_empty() { &ended.stdout } else { &ended.stderr };
    let said = said.trim_ascii();
    let tail = &said[said.len().saturating_sub(ERROR_TAIL)..];
    if tail.is_empty() { text.to_owned() } else { format!("{text}: {}", String::from_utf8_lossy(tail)) }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
