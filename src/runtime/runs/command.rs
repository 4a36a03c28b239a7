//! A task that runs a command: its input on standard input and in a file.

use std::ffi::OsString;
use std::path::Path;

use super::Runner;
use super::exec::{Ended, Stopped};
use crate::guardian::{Cause, Exit, RunKey, Spawn};
use crate::task::Start;

/// What is kept of a failed command's output for its event, in bytes.
const ERROR_TAIL: usize = 2 * 1024;

impl Runner {
    /// Writes the input, and says what to start.
    pub(super) async fn prepare_command(&self, start: &Start, argv: &[String]) -> Result<Box<Spawn>, Stopped> {
        let secrets = self.secrets(start).await?;
        let input = start.document().to_string().into_bytes();
        let dir = start.spec.working_dir.clone();
        let file = dir.join("input.json");
        let (bytes, place) = (input.clone(), file.clone());
        let shared = secrets.clone();
        let written = tokio::task::spawn_blocking(move || write_input(&place, &bytes).map(|()| shared.give())).await;
        match written {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(why))) => return Err(Stopped::Failed(why)),
            Ok(Err(error)) => return Err(Stopped::Failed(format!("failed to write {}: {error}", file.display()))),
            Err(error) => return Err(Stopped::Failed(error.to_string())),
        }
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
        let ended = self.exec(*spawn, start, false, &mut |_, _| {}).await?;
        match (&ended.by, ended.exit) {
            (Cause::Itself, Exit::Code(0)) => Ok(()),
            (Cause::Itself, exit) => Err(Stopped::Failed(with_tail(&format!("{program} ended with {exit}"), &ended))),
            (by, _) => Err(Stopped::Interrupted(by.to_string())),
        }
    }
}

/// The error with the end of what the command said.
fn with_tail(text: &str, ended: &Ended) -> String {
    let said = if ended.stderr.trim_ascii().is_empty() { &ended.stdout } else { &ended.stderr };
    let said = said.trim_ascii();
    let tail = &said[said.len().saturating_sub(ERROR_TAIL)..];
    if tail.is_empty() { text.to_owned() } else { format!("{text}: {}", String::from_utf8_lossy(tail)) }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The input for people and for programs that do not read standard input. Private: it may hold what others must not see.
fn write_input(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    }
    let fresh = file.with_extension("json.new");
    let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    out.write_all(bytes)?;
    std::fs::rename(&fresh, file)
}
