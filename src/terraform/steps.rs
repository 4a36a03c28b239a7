//! The command lines that apply a task (`reference/cts.md` 3.7), in their order.
//!
//! All run in the task's directory, so that relative paths in a backend mean what they mean with CTS.

use std::ffi::OsString;

use super::Binary;

/// Where a plan is kept, in the task's directory. It holds secrets as they are.
pub const PLAN_FILE: &str = "quorate.tfplan";

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
    /// Says what would change.
    Plan,
    /// Says what differs from the state, whatever the configuration wants.
    PlanRefresh,
    /// The same as `Plan`, and keeps the plan in [`PLAN_FILE`].
    SavePlan,
    /// Prints the kept plan as JSON.
    ShowPlan,
    /// Changes the world as the kept plan says, and in no other way.
    ApplyPlan,
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
            Self::Plan | Self::PlanRefresh | Self::SavePlan => "plan",
            Self::ShowPlan => "show",
            Self::Apply | Self::ApplyPlan => "apply",
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
    /// What it prints is a line of JSON for each event ([`super::events`]), not text for people.
    pub events: bool,
}

/// The command line of a step. `plan` prints text for people: the API hands it out. `apply` tells its events where it can.
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
        StepKind::Plan | StepKind::SavePlan => &[
            "plan",
            "-no-color",
            "-input=false",
            "-detailed-exitcode",
            "-lock-timeout=0s",
            "-lock=true",
            "-parallelism=10",
            "-refresh=true",
        ],
        StepKind::PlanRefresh => &[
            "plan",
            "-no-color",
            "-input=false",
            "-detailed-exitcode",
            "-refresh-only",
            "-lock-timeout=0s",
            "-parallelism=10",
        ],
        StepKind::ShowPlan => &["show", "-no-color", "-json", PLAN_FILE],
        StepKind::ApplyPlan => &["apply", "-no-color", "-input=false", "-lock=true", "-parallelism=10"],
        StepKind::Apply => {
            &["apply", "-no-color", "-auto-approve", "-input=false", "-lock=true", "-parallelism=10", "-refresh=true"]
        }
    };
    let tolerated: &[&str] = if kind == StepKind::WorkspaceNew { &["already exists"] } else { &[] };
    let ok_exit_codes: &[i32] =
        if matches!(kind, StepKind::Plan | StepKind::PlanRefresh | StepKind::SavePlan) { &[0, 2] } else { &[0] };
    let events = matches!(kind, StepKind::Apply | StepKind::ApplyPlan) && tells_events(binary);
    let program = std::iter::once(binary.path.clone().into_os_string());
    let argv = program.chain(words.iter().map(OsString::from)).chain(events.then(|| "-json".into()));
    let file: Option<OsString> = match kind {
        StepKind::SavePlan => Some(format!("-out={PLAN_FILE}").into()),
        // It stands last.
        StepKind::ApplyPlan => Some(PLAN_FILE.into()),
        _ => None,
    };
    let argv = argv.chain(file).collect();
    Step { kind, argv, ok_exit_codes, tolerated, events }
}

/// `apply -json` came with Terraform 0.15.3; 1.0 is where we count on it. OpenTofu has always had it.
fn tells_events(binary: &Binary) -> bool {
    binary.version.at_least(1, 0)
}

#[cfg(test)]
mod tests {
    use super::super::binary::Kind;
    use super::super::version::Version;
    use super::*;

    #[test]
    fn the_command_lines_are_those_of_cts() {
        let new = Version::new(1, 11, 4);
        check(&new, StepKind::Init, "init -no-color -force-copy -input=false -backend=true -get=true -upgrade=false");
        check(&new, StepKind::WorkspaceNew, "workspace new -no-color edge");
        check(&new, StepKind::WorkspaceSelect, "workspace select -no-color edge");
        check(&new, StepKind::Validate, "validate -no-color -json");
        check(&new, StepKind::Plan, &format!("plan {PLAN}"));
        check(&new, StepKind::Apply, &format!("apply {APPLY} -json"));
    }

    #[test]
    fn a_plan_is_kept_and_applied_as_it_is() {
        let new = Version::new(1, 11, 4);
        check(&new, StepKind::SavePlan, &format!("plan {PLAN} -out=quorate.tfplan"));
        check(&new, StepKind::ShowPlan, "show -no-color -json quorate.tfplan");
        let apply = "apply -no-color -input=false -lock=true -parallelism=10";
        check(&new, StepKind::ApplyPlan, &format!("{apply} -json quorate.tfplan"));
        check(&Version::new(0, 14, 11), StepKind::ApplyPlan, &format!("{apply} quorate.tfplan"));
    }

    #[test]
    fn old_versions_are_asked_for_what_they_know() {
        let old = Version::new(0, 14, 11);
        let init = "init -no-color -force-copy -input=false -backend=true -get=true -upgrade=false \
                    -lock-timeout=0s -lock=true -get-plugins=true -verify-plugins=true";
        check(&old, StepKind::Init, init);
        check(&old, StepKind::Apply, &format!("apply {APPLY}"));
    }

    const PLAN: &str =
        "-no-color -input=false -detailed-exitcode -lock-timeout=0s -lock=true -parallelism=10 -refresh=true";
    const APPLY: &str = "-no-color -auto-approve -input=false -lock=true -parallelism=10 -refresh=true";

    fn check(version: &Version, kind: StepKind, expected: &str) {
        let binary = Binary { path: "/bin/terraform".into(), kind: Kind::Terraform, version: version.clone() };
        let step = step(&binary, "edge", kind);
        let words: Vec<_> = step.argv.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(words.join(" "), format!("/bin/terraform {expected}"));
    }
}
