//! CTS's flags in clap's clothes: `-config-file x` becomes `--config-file x`, flags alone mean `start`, `help x` is `x --help`.

use std::ffi::OsString;

/// Commands that have commands.
const GROUPS: [&str; 5] = ["config", "keyring", "state", "task", "token"];

/// The arguments (the program's name first) as clap takes them.
pub(super) fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut plain = false;
    let mut args: Vec<OsString> = args
        .into_iter()
        .enumerate()
        .map(|(position, arg)| {
            plain |= arg == "--";
            if plain || position == 0 { arg } else { two_dashes(arg) }
        })
        .collect();
    if let Some(position) = args.iter().skip(1).take(2).position(|arg| arg == "help").map(|index| index + 1) {
        // `help x y` and `x help` are `x y --help`; a task may be called help, so only a word before its commands counts.
        let group = args.get(1).is_some_and(|arg| GROUPS.iter().any(|group| arg == group));
        if position == 1 || group {
            args.remove(position);
            args.push("--help".into());
        }
    }
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    match first {
        "-v" | "--version" => args[1] = "version".into(),
        "-h" | "--help" => {}
        flag if flag.starts_with("--") => args.insert(1, "start".into()),
        _ => {}
    }
    args
}

/// A word of several letters after one dash is a long flag; `-h`, `-`, `-1` and `--x` are as they are.
fn two_dashes(arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else { return arg };
    let long = text.strip_prefix('-').is_some_and(|name| {
        let mut letters = name.bytes();
        letters.next().is_some_and(|b| b.is_ascii_alphabetic()) && letters.next().is_some_and(|b| b != b'=')
    });
    if long { format!("-{text}").into() } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], expected: &[&str]) {
        let given = std::iter::once(&"quorate").chain(given).map(OsString::from);
        let normal = normalise(given);
        let expected: Vec<OsString> = std::iter::once(&"quorate").chain(expected).map(OsString::from).collect();
        assert_eq!(normal, expected);
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        check(&["start", "-config-file", "x"], &["start", "--config-file", "x"]);
        check(&["start", "-config-file=x", "--id", "a"], &["start", "--config-file=x", "--id", "a"]);
        check(&["status", "-h"], &["status", "-h"]);
        check(&["task", "-1", "-"], &["task", "-1", "-"]);
        check(&["task", "enable", "--", "-odd-name"], &["task", "enable", "--", "-odd-name"]);
    }

    #[test]
    fn help_is_a_word_too() {
        check(&["help"], &["--help"]);
        check(&["help", "start"], &["start", "--help"]);
        check(&["help", "task", "list"], &["task", "list", "--help"]);
        check(&["task", "help"], &["task", "--help"]);
        check(&["task", "show", "help"], &["task", "show", "help"]);
        check(&["-id", "help"], &["start", "--id", "help"]);
    }

    #[test]
    fn every_group_takes_help_as_a_word() {
        use clap::CommandFactory as _;
        let cli = super::super::Cli::command();
        let groups = cli.get_subcommands().filter(|command| command.has_subcommands());
        assert_eq!(groups.map(|command| command.get_name().to_owned()).collect::<std::collections::BTreeSet<_>>(), {
            GROUPS.iter().map(|group| (*group).to_owned()).collect()
        });
        for group in GROUPS {
            check(&[group, "help"], &[group, "--help"]);
        }
    }

    #[test]
    fn flags_alone_mean_start() {
        check(&["-config-file", "x"], &["start", "--config-file", "x"]);
        check(&["-help"], &["--help"]);
        check(&["-version"], &["version"]);
        check(&["-v"], &["version"]);
        check(&[], &[]);
    }
}
