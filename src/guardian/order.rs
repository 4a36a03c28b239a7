//! What the agent asks to run, and its translation to and from the wire.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use quorate_proto::Epoch;

use super::environment::{EPOCH, RUN_ID, TASK};
use super::launch;
use super::message::{Ends, Launch, Order, RunKey};

/// One run to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// Its name; unique.
    pub run: RunKey,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The complete environment; nothing is inherited. The guardian adds `QUORATE_RUN_ID`, `QUORATE_TASK` and `QUORATE_EPOCH`.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Written to its standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// What is done before the program begins.
    pub launch: Launch,
    /// Between SIGINT and SIGKILL.
    pub grace: Duration,
    /// How many bytes of each output stream the guardian keeps while the agent does not read; the newest stay.
    pub keep: u32,
}

impl Spawn {
    /// With nothing on standard input, 30 s of grace and 64 KiB of output kept.
    pub fn new(run: RunKey, argv: impl IntoIterator<Item = impl Into<OsString>>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            run,
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: cwd.into(),
            stdin: Vec::new(),
            launch: Launch::default(),
            grace: Duration::from_secs(30),
            keep: 64 * 1024,
        }
    }

    pub(super) fn order(self, epoch: Epoch, ends: Ends) -> Order {
        let pair = |(name, value): (OsString, OsString)| (name.into_vec(), value.into_vec());
        Order {
            run: self.run,
            argv: self.argv.into_iter().map(OsStringExt::into_vec).collect(),
            env: self.env.into_iter().map(pair).collect(),
            cwd: self.cwd.into_os_string().into_vec(),
            stdin: self.stdin,
            launch: self.launch,
            grace: self.grace,
            keep: self.keep,
            epoch,
            ends,
        }
    }
}

impl Order {
    /// The program as text, for errors.
    pub(super) fn program(&self) -> String {
        self.argv.first().map(|program| String::from_utf8_lossy(program).into_owned()).unwrap_or_default()
    }

    /// The command, in a process group of its own, with the marks of the run; its streams are not set. `cgroups`: with limits,
    /// to be entered first.
    pub(super) fn command(&self, cgroups: &[PathBuf]) -> Command {
        use std::os::unix::process::CommandExt;
        let mut words = self.argv.iter().map(|word| OsStr::from_bytes(word));
        let before = launch::words(&self.launch, cgroups);
        let is_plain = before.is_empty();
        let name = |name| if is_plain { OsStr::from_bytes(name).to_owned() } else { launch::carried(name) };
        let mut command = if is_plain {
            Command::new(words.next().unwrap_or_default())
        } else {
            // This very program, also when its file was replaced.
            let mut command = Command::new("/proc/self/exe");
            command.arg0("quorate").args(before);
            command
        };
        command
            .args(words)
            .env_clear()
            .envs(self.env.iter().map(|(own, value)| (name(own.as_slice()), OsStr::from_bytes(value))))
            .env(RUN_ID, self.run.id().to_string())
            .env(TASK, &self.run.task)
            .env(EPOCH, self.epoch.to_string())
            .current_dir(OsStr::from_bytes(&self.cwd))
            .process_group(0);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_program_that_starts_with_the_agents_rights_is_given_no_variable_of_the_run_under_its_own_name() {
        let names = |launch: Launch| {
            let mut spawn = Spawn::new(RunKey::new("edge", uuid::Uuid::nil()), ["true"], "/");
            spawn.env = ["LD_PRELOAD", "PATH", "QUORATE_EPOCH"].map(|name| (name.into(), "x".into())).to_vec();
            spawn.launch = launch;
            let command = spawn.order(Epoch(1), Ends { boot: Duration::ZERO, mono: Duration::ZERO }).command(&[]);
            let names = command.get_envs().map(|(name, _)| name.to_str().unwrap().to_owned());
            names.collect::<BTreeSet<_>>()
        };
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names(Launch::default()), set(&["LD_PRELOAD", "PATH", EPOCH, RUN_ID, TASK]));
        let launched = names(Launch { no_new_privs: true, ..Launch::default() });
        assert_eq!(launched, set(&["RUN:LD_PRELOAD", "RUN:PATH", "RUN:QUORATE_EPOCH", EPOCH, RUN_ID, TASK]));
    }
}
