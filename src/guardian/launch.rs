//! The last steps before a run's program begins, taken by its own process: into cgroups with limits, out of the agent's rights.
//!
//! A process cannot be given these from outside without code that runs between fork and exec, so the guardian starts itself
//! once more for runs that ask for any of it: `guardian --launch .. -- program ..` does what the flags say, in their order, and
//! becomes the program. Whatever cannot be done ends it, and the program never begins.
//!
//! It begins with the agent's rights, so the run's variables must mean nothing to it: its loader would take libraries from them
//! (`LD_PRELOAD`). Each comes under another name, and has its own again in the program of the run.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::environment::{EPOCH, RUN_ID, TASK};
use super::message::{Launch, User};

/// First option of the program that does this.
pub(super) const LAUNCH: &str = "--launch";
const CGROUP: &str = "--cgroup";
const USER: &str = "--user";
const NO_NEW_PRIVS: &str = "--no-new-privs";
/// Stands before the name of each variable of the run. No program looks for such names.
const CARRIED: &[u8] = b"RUN:";
/// What a shell answers for a program that it cannot run.
const FAILED: u8 = 126;

/// The words that stand before the program of a run; none when it asks for nothing.
pub(super) fn words(launch: &Launch, cgroups: &[PathBuf]) -> Vec<OsString> {
    if launch.is_plain() {
        return Vec::new();
    }
    let mut words: Vec<OsString> = vec!["guardian".into(), LAUNCH.into()];
    for path in cgroups {
        words.extend([CGROUP.into(), path.into()]);
    }
    if let Some(User { uid, gid, groups }) = &launch.user {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        words.extend([USER.into(), format!("{uid}:{gid}:{}", groups.join(",")).into()]);
    }
    if launch.no_new_privs {
        words.push(NO_NEW_PRIVS.into());
    }
    words.push("--".into());
    words
}

/// The name under which a variable of the run comes here.
pub(super) fn carried(name: &[u8]) -> OsString {
    OsString::from_vec([CARRIED, name].concat())
}

/// The variables of the run out of those of this process. The guardian's three marks come as they are, and count.
fn environment(given: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let (marks, others): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|(name, _)| [RUN_ID, TASK, EPOCH].iter().any(|mark| name == mark));
    let own = |(name, value): (OsString, OsString)| {
        let name = name.as_bytes().strip_prefix(CARRIED)?;
        Some((OsStr::from_bytes(name).to_owned(), value))
    };
    others.into_iter().filter_map(own).chain(marks).collect()
}

/// Does what the words after `--launch` say. Returns only when something of it could not be done.
pub(super) fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let why = match become_program(words) {
        Ok(never) => match never {},
        Err(why) => why,
    };
    super::server::say(&why);
    ExitCode::from(FAILED)
}

fn become_program(mut words: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, String> {
    loop {
        let word = words.next().unwrap_or_default();
        match word.to_str() {
            Some(CGROUP) => {
                let path = PathBuf::from(words.next().unwrap_or_default());
                let entered = std::fs::write(path.join("cgroup.procs"), "0");
                entered.map_err(|error| format!("the run cannot enter its cgroup {}: {error}", path.display()))?;
            }
            Some(USER) => {
                let user = words.next().as_deref().and_then(user).ok_or("this is no user")?;
                change_user(&user).map_err(|error| format!("the run cannot become user {}: {error}", user.uid))?;
            }
            Some(NO_NEW_PRIVS) => {
                set_no_new_privs(true).map_err(|error| format!("the run cannot give up new privileges: {error}"))?;
            }
            Some("--") => break,
            _ => return Err(format!("--launch does not know {}", word.display())),
        }
    }
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(words).env_clear().envs(environment(std::env::vars_os()));
    let error = command.exec();
    Err(format!("start {}: {error}", program.display()))
}

/// All three ids at once, groups first: nothing of the agent's is kept. There is one thread, so it is the whole process.
fn change_user(user: &User) -> rustix::io::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

fn user(text: &OsStr) -> Option<User> {
    let mut parts = text.to_str()?.split(':');
    let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let groups = parts.next()?.split(',').filter(|gid| !gid.is_empty()).map(|gid| gid.parse().ok());
    Some(User { uid, gid, groups: groups.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::super::message::Bounds;
    use super::*;

    #[test]
    fn a_plain_run_needs_no_words_and_a_user_comes_through_them() {
        assert!(words(&Launch::default(), &[]).is_empty());
        let given = User { uid: 1000, gid: 100, groups: vec![100, 27] };
        let launch = Launch { user: Some(given.clone()), no_new_privs: true, bounds: Bounds::default() };
        let words = words(&launch, &[PathBuf::from("/c")]);
        let text: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let expected = ["guardian", "--launch", "--cgroup", "/c", "--user", "1000:100:100,27", "--no-new-privs", "--"];
        assert_eq!(text, expected);
        assert_eq!(user(&words[5]), Some(given));
        assert_eq!(user(OsStr::new("1:2:")), Some(User { uid: 1, gid: 2, groups: Vec::new() }));
        for bad in ["", "1:2", "x:1:", "1:2:a", "-1:1:"] {
            assert_eq!(user(OsStr::new(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn the_program_has_the_variables_of_the_run_under_their_own_names_and_no_others() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let given = [
            pair(RUN_ID, "7"),
            (carried(b"PATH"), "/bin".into()),
            (carried(RUN_ID.as_bytes()), "forged".into()),
            (carried(b"RUN:X"), "x".into()),
            pair("HOME", "/root"),
        ];
        let expected = [pair("PATH", "/bin"), pair(RUN_ID, "forged"), pair("RUN:X", "x"), pair(RUN_ID, "7")];
        assert_eq!(environment(given), expected, "the last of a name counts");
    }

    #[test]
    fn what_cannot_be_done_is_said_and_nothing_begins() {
        let run = |words: &[&str]| become_program(words.iter().map(OsString::from)).unwrap_err();
        assert!(run(&["--cgroup", "/no/such", "--", "true"]).starts_with("the run cannot enter its cgroup /no/such"));
        assert!(run(&["--user", "x", "--", "true"]).contains("no user"));
        assert!(run(&["--what"]).contains("does not know --what"));
        assert!(run(&["--", "/no/such/program"]).starts_with("start /no/such/program: No such file"));
    }
}
