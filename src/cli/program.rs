//! The name that the program was called by: under `consul-terraform-sync` it answers CTS's forms of help and version,
//! so that what was written for CTS runs (`reference/cts.md` 5.1).

use std::ffi::OsStr;
use std::path::Path;

/// The CTS whose forms are answered.
const CTS: &str = "consul-terraform-sync";
const CTS_VERSION: &str = "v0.9.0";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Our own name, or any other.
    Quorate,
    /// A link of CTS's name.
    Cts,
}

impl Program {
    /// By the first argument.
    pub(super) fn of(called: &OsStr) -> Self {
        if Path::new(called).file_name().is_some_and(|name| name == CTS) { Self::Cts } else { Self::Quorate }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quorate => "quorate",
            Self::Cts => CTS,
        }
    }

    /// Help and hints, which are written for `quorate`, with this name.
    pub(super) fn named(self, text: &str) -> String {
        match self {
            Self::Quorate => text.to_owned(),
            Self::Cts => text
                .replace("Usage: quorate <command>", &format!("Usage CLI: {CTS} <command>"))
                .replace("Usage: quorate", &format!("Usage: {CTS}"))
                .replace("'quorate ", &format!("'{CTS} ")),
        }
    }

    /// Two lines, as CTS prints: ours, then what it works with.
    pub(super) fn version(self) -> String {
        let own = concat!("quorate v", env!("CARGO_PKG_VERSION"));
        match self {
            Self::Quorate => format!("{own}\nCompatible with Terraform >= 0.13.0\n"),
            Self::Cts => format!("{CTS} {CTS_VERSION} ({own})\nCompatible with Terraform >= 0.13.0\n"),
        }
    }

    /// What to say about arguments that only CTS had, and whether that is the end.
    pub(super) fn old_form(self, given: &[std::ffi::OsString], normal: &[std::ffi::OsString]) -> Option<OldForm> {
        let wants = |flag: &str| normal.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == flag);
        if wants("--autocomplete-install") || wants("--autocomplete-uninstall") {
            return Some(OldForm::Refused(format!(
                "==> Error: completion is not installed by this program; it prints a script for your shell\n    write \
                 '{} completion bash', or zsh, or fish, where the shell reads it",
                self.name()
            )));
        }
        let bare = normal.get(1).is_some_and(|arg| arg == "start") && given.get(1).is_some_and(|arg| arg != "start");
        (self == Self::Cts && bare).then(|| {
            OldForm::Deprecated(format!(
                "==> Warning: flags without a command are deprecated: write '{CTS} start' before them"
            ))
        })
    }
}

/// Arguments that were CTS's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OldForm {
    /// It works, and this is said.
    Deprecated(String),
    /// It does not, and this is said.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_the_name_is_enough() {
        for (called, program) in [
            ("consul-terraform-sync", Program::Cts),
            ("/usr/bin/consul-terraform-sync", Program::Cts),
            ("./quorate", Program::Quorate),
            ("/opt/consul-terraform-sync/quorate", Program::Quorate),
            ("", Program::Quorate),
        ] {
            assert_eq!(Program::of(OsStr::new(called)), program, "{called}");
        }
    }

    #[test]
    fn only_help_and_hints_get_the_other_name() {
        let text = "Usage: quorate task run <task name>\nquorate.example says: try 'quorate task'";
        let named = Program::Cts.named(text);
        assert!(named.starts_with("Usage: consul-terraform-sync task run") && named.contains("quorate.example"));
        assert!(named.ends_with("try 'consul-terraform-sync task'"));
        assert_eq!(Program::Quorate.named(text), text);
    }
}
