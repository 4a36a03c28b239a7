//! The command lines that apply a task (`reference/cts.md` 3.7), in their order.
//!
//! All run in the task's directory, so that relative paths in a backend mean what they mean with CTS.

use std::ffi::OsString;

use super::Binary;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// Reads the backend, gets modules and providers.
    Init,
    /// Makes the task's Terraform workspace.
    WorkspaceNew,
    /// Makes it the current one.
    WorkspaceSelect,
    /// Checks the generated files against the module.
    Validate,
    /// Changes the world.
    Apply,
}

impl StepKind {
    /// The word in logs and in the errors of CTS (`error tf-apply for 'X'`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::WorkspaceNew => "workspace-new",
            Self::WorkspaceSelect => "workspace-select",
            Self::Validate => "validate",
            Self::Apply => "apply",
        }
    }
}

/// One process to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// The absolute program and its arguments.
    pub argv: Vec<OsString>,
    /// Exit codes that mean it did so.
    pub ok_exit_codes: &'static [i32],
    /// Texts in the output that make any other exit code as good: what was asked for is already so.
    pub tolerated: &'static [&'static str],
}

/// The steps of one run. Without `init_needed` it is `apply` alone.
pub fn for_run(binary: &Binary, task: &str, init_needed: bool) -> Vec<Step> {
    let kinds: &[StepKind] = if init_needed {
        &[StepKind::Init, StepKind::WorkspaceNew, StepKind::WorkspaceSelect, StepKind::Validate, StepKind::Apply]
    } else {
        &[StepKind::Apply]
    };
    kinds.iter().map(|kind| step(binary, task, *kind)).collect()
}

/// One of them.
pub fn step(binary: &Binary, task: &str, kind: StepKind) -> Step {
    let words: &[&str] = match kind {
        StepKind::Init if binary.version.at_least(0, 15) => {
            &["init", "-no-color", "-force-copy", "-input=false", "-backend=true", "-get=true", "-upgrade=false"]
        }
        StepKind::Init => &[
            "init",
            "-no-color",
            "-force-copy",
            "-input=false",
            "-backend=true",
            "-get=true",
            "-upgrade=false",
            "-lock-timeout=0s",
            "-lock=true",
            "-get-plugins=true",
            "-verify-plugins=true",
        ],
        StepKind::WorkspaceNew => &["workspace", "new", "-no-color", task],
        StepKind::WorkspaceSelect => &["workspace", "select", "-no-color", task],
        StepKind::Validate => &["validate", "-no-color", "-json"],
        StepKind::Apply => {
            &["apply", "-no-color", "-auto-approve", "-input=false", "-lock=true", "-parallelism=10", "-refresh=true"]
        }
    };
    let tolerated: &[&str] = if kind == StepKind::WorkspaceNew { &["already exists"] } else { &[] };
    let argv = std::iter::once(binary.path.clone().into_os_string()).chain(words.iter().map(OsString::from)).collect();
    Step { kind, argv, ok_exit_codes: &[0], tolerated }
}

#[cfg(test)]
mod tests {
    use super::super::binary::Kind;
    use super::super::version::Version;
    use super::*;

    #[test]
    fn the_command_lines_are_those_of_cts() {
        check(
            Version::new(1, 11, 4),
            true,
            &[
                "/bin/terraform init -no-color -force-copy -input=false -backend=true -get=true -upgrade=false",
                "/bin/terraform workspace new -no-color edge",
                "/bin/terraform workspace select -no-color edge",
                "/bin/terraform validate -no-color -json",
                APPLY,
            ],
        );
        check(Version::new(1, 11, 4), false, &[APPLY]);
    }

    #[test]
    fn before_0_15_init_says_more() {
        let init = "/bin/terraform init -no-color -force-copy -input=false -backend=true -get=true -upgrade=false \
                    -lock-timeout=0s -lock=true -get-plugins=true -verify-plugins=true";
        assert_eq!(lines(Version::new(0, 14, 11), true)[0], init);
    }

    const APPLY: &str =
        "/bin/terraform apply -no-color -auto-approve -input=false -lock=true -parallelism=10 -refresh=true";

    fn check(version: Version, init_needed: bool, expected: &[&str]) {
        assert_eq!(lines(version, init_needed), expected);
    }

    fn lines(version: Version, init_needed: bool) -> Vec<String> {
        let binary = Binary { path: "/bin/terraform".into(), kind: Kind::Terraform, version };
        let line = |step: Step| step.argv.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        for_run(&binary, "edge", init_needed).into_iter().map(line).collect()
    }
}
