use super::super::binary::Kind;
use super::super::version::Version;
use super::*;

const VALID: &str = r#"{"valid": true, "diagnostics": []}"#;

#[test]
fn a_first_run_goes_through_every_step_and_remembers_before_apply() {
    let mut run = run(true);
    for kind in [StepKind::Init, StepKind::WorkspaceNew, StepKind::WorkspaceSelect] {
        pass(&mut run, kind);
    }
    step(&mut run, StepKind::Validate, Exit::Code(0), VALID, "");
    assert_eq!(run.next(), Action::Remember);
    pass(&mut run, StepKind::Apply);
    assert_eq!(run.next(), Action::Done(Ok(())));
    run.handle_exit(Exit::Code(1), b"", b"late");
    assert_eq!(run.next(), Action::Done(Ok(())), "the end is the end");
}

#[test]
fn a_later_run_is_apply_alone() {
    let mut run = run(false);
    pass(&mut run, StepKind::Apply);
    assert_eq!(run.next(), Action::Done(Ok(())));
}

#[test]
fn an_existing_workspace_is_as_good_as_a_new_one() {
    let mut run = run(true);
    pass(&mut run, StepKind::Init);
    step(&mut run, StepKind::WorkspaceNew, Exit::Code(1), "", "Workspace \"edge\" already exists\n");
    pass(&mut run, StepKind::WorkspaceSelect);
}

#[test]
fn init_is_tried_once_more_after_the_missing_workspace_is_made() {
    let missing = "Error: Currently selected\nworkspace \"edge\" does not exist";
    let mut run = run(true);
    step(&mut run, StepKind::Init, Exit::Code(1), "", missing);
    pass(&mut run, StepKind::WorkspaceNew);
    step(&mut run, StepKind::Init, Exit::Code(1), "", missing);
    failed(&mut run, "error tf-init for 'edge': exit status 1\n\nError: Currently selected");
}

#[test]
fn when_the_workspace_cannot_be_made_the_error_is_that_of_init() {
    let mut run = run(true);
    step(&mut run, StepKind::Init, Exit::Code(1), "", "workspace \"edge\" doesn't exist");
    step(&mut run, StepKind::WorkspaceNew, Exit::Code(1), "", "no backend");
    failed(&mut run, "error tf-init for 'edge': exit status 1\n\nworkspace \"edge\" doesn't exist");
}

#[test]
fn an_inspection_ends_with_its_plan_and_a_backend_without_workspaces_has_no_such_steps() {
    for (code, changes) in [(0, false), (2, true)] {
        let mut run = run(true).without_workspaces().inspecting();
        pass(&mut run, StepKind::Init);
        step(&mut run, StepKind::Validate, Exit::Code(0), VALID, "");
        assert_eq!(run.next(), Action::Remember);
        step(&mut run, StepKind::Plan, Exit::Code(code), "text\n", "");
        assert_eq!(run.next(), Action::Done(Ok(())));
        assert_eq!(run.plan(), Some(&Plan { text: "text".to_owned(), changes }));
    }
    let mut run = run(false).inspecting();
    step(&mut run, StepKind::Plan, Exit::Code(1), "", "Error: no");
    failed(&mut run, "error tf-plan for 'edge': exit status 1\n\nError: no");
    assert_eq!(self::run(false).preparing().next(), Action::Done(Ok(())));
}

#[test]
fn a_reviewed_run_stops_at_its_plan() {
    let reviewed = || {
        let mut run = run(false).reviewed();
        step(&mut run, StepKind::SavePlan, Exit::Code(2), "text\n", "");
        step(&mut run, StepKind::ShowPlan, Exit::Code(0), "{}", "");
        assert_eq!(run.next(), Action::Review);
        assert_eq!(run.plan(), Some(&Plan { text: "text".to_owned(), changes: true }));
        run
    };
    let mut left = reviewed();
    left.leave_plan();
    assert_eq!(left.next(), Action::Done(Ok(())));
    let mut applied = reviewed();
    applied.apply_plan();
    pass(&mut applied, StepKind::ApplyPlan);
    assert_eq!(applied.next(), Action::Done(Ok(())));
    let mut refused = reviewed();
    refused.apply_plan();
    step(&mut refused, StepKind::ApplyPlan, Exit::Code(1), "", "Error: Saved plan is stale");
    failed(&mut refused, "error tf-apply for 'edge': exit status 1\n\nError: Saved plan is stale");
    let mut nothing = run(false).reviewed();
    step(&mut nothing, StepKind::SavePlan, Exit::Code(0), "No changes.", "");
    assert_eq!(nothing.next(), Action::Done(Ok(())));
}

#[test]
fn a_look_for_drift_changes_nothing_and_says_what_differs() {
    let look = |asks_plan, refresh, plan| {
        let mut run = run(false).looking_for_drift(asks_plan);
        step(&mut run, StepKind::PlanRefresh, Exit::Code(refresh), "", "");
        if asks_plan {
            step(&mut run, StepKind::Plan, Exit::Code(plan), "..\nPlan: 0 to add, 1 to change, 0 to destroy.\n", "");
        }
        assert_eq!(run.next(), Action::Done(Ok(())));
        run.drift().map(str::to_owned)
    };
    assert_eq!((look(false, 0, 0), look(true, 0, 0)), (None, None));
    let outside = "objects have changed outside of Terraform";
    assert_eq!(look(false, 2, 0).as_deref(), Some(outside));
    let would = "a run would change something: Plan: 0 to add, 1 to change, 0 to destroy.";
    assert_eq!(look(true, 0, 2).as_deref(), Some(would));
    assert_eq!(look(true, 2, 2), Some(format!("{outside}; {would}")));
}

#[test]
fn an_approved_plan_that_does_not_fit_any_more_is_made_anew() {
    let mut run = self::run(false).approved();
    let late = "Error: Saved plan is stale\n\nThe given plan file can no longer be applied";
    step(&mut run, StepKind::ApplyPlan, Exit::Code(1), "", late);
    assert_eq!(run.stale(), Some(late));
    step(&mut run, StepKind::SavePlan, Exit::Code(2), "text", "");
    step(&mut run, StepKind::ShowPlan, Exit::Code(0), "{}", "");
    assert_eq!(run.next(), Action::Review);
    let mut run = self::run(false).approved();
    step(&mut run, StepKind::ApplyPlan, Exit::Code(1), "", "Error: the firewall does not answer");
    failed(&mut run, "error tf-apply for 'edge': exit status 1\n\nError: the firewall does not answer");
    // A directory that is not initialised says nothing of the plan.
    let mut run = self::run(false).approved();
    let lacks = "Error: Inconsistent dependency lock file\n\nrun:\n  terraform init";
    step(&mut run, StepKind::ApplyPlan, Exit::Code(1), "", lacks);
    pass(&mut run, StepKind::Init);
}

#[test]
fn a_missing_module_is_no_missing_workspace() {
    let mut run = run(true);
    step(
        &mut run,
        StepKind::Init,
        Exit::Code(1),
        "",
        "Error: Unreadable module directory: /m does not exist\nworkspace",
    );
    failed(&mut run, "error tf-init for 'edge': exit status 1\n\nError: Unreadable");
}

#[test]
fn apply_that_asks_for_init_gets_it_once() {
    let asks = "Error: Module not installed\n\nRun \"terraform\ninit\" to install all modules";
    let mut run = run(false);
    step(&mut run, StepKind::Apply, Exit::Code(1), "", asks);
    for kind in [StepKind::Init, StepKind::WorkspaceNew, StepKind::WorkspaceSelect] {
        pass(&mut run, kind);
    }
    step(&mut run, StepKind::Validate, Exit::Code(0), VALID, "");
    assert_eq!(run.next(), Action::Remember);
    step(&mut run, StepKind::Apply, Exit::Code(1), "", asks);
    failed(&mut run, "error tf-apply for 'edge': exit status 1");
}

#[test]
fn a_module_without_services_is_told_in_plain_words() {
    let answer = r#"{"valid": false, "diagnostics": [{"severity": "error", "summary": "Unsupported argument",
        "detail": "An argument named \"services\" is not expected here."}]}"#;
    let mut run = at_validate();
    step(&mut run, StepKind::Validate, Exit::Code(1), answer, "");
    failed(&mut run, "module for task \"edge\" is missing the \"services\" variable");
}

#[test]
fn validate_without_an_answer_is_a_failure_with_its_stderr() {
    let mut run = at_validate();
    step(&mut run, StepKind::Validate, Exit::Code(1), "", "Error: broken");
    failed(&mut run, "error tf-validate for 'edge': exit status 1\n\nError: broken");
}

#[test]
fn warnings_are_kept_for_the_log() {
    let answer = r#"{"valid": true, "diagnostics": [{"severity": "warning", "summary": "Old", "detail": "It is."}]}"#;
    let mut run = at_validate();
    step(&mut run, StepKind::Validate, Exit::Code(0), answer, "");
    assert_eq!(run.take_warnings(), ["Old: It is."]);
    assert!(run.take_warnings().is_empty());
    assert_eq!(run.next(), Action::Remember);
}

#[test]
fn a_step_ended_by_a_signal_fails_whatever_it_printed() {
    for kind in [StepKind::Init, StepKind::Apply] {
        let mut run = run(kind == StepKind::Init);
        let text = "workspace does not exist, run terraform init";
        step(&mut run, kind, Exit::Signal(9), "", text);
        failed(&mut run, &format!("error tf-{} for 'edge': ended by signal 9", kind.as_str()));
    }
    let mut run = at_validate();
    step(&mut run, StepKind::Validate, Exit::Signal(15), VALID, "");
    failed(&mut run, "error tf-validate for 'edge': ended by signal 15");
}

#[test]
fn a_very_long_error_keeps_its_end() {
    let mut run = run(false);
    let text = "é first line\n".repeat(10_000) + "Error: the reason";
    step(&mut run, StepKind::Apply, Exit::Code(1), "", &text);
    let Action::Done(Err(error)) = run.next() else { panic!("must fail") };
    assert!(error.len() < ERROR_TEXT_MAX + 200 && error.ends_with("Error: the reason"), "{}", error.len());
    assert!(error.contains("bytes before this are left out"));
}

fn run(init_needed: bool) -> Run {
    let binary = Binary { path: "/bin/terraform".into(), kind: Kind::Terraform, version: Version::new(1, 11, 4) };
    Run::new(binary, "edge", init_needed)
}

fn at_validate() -> Run {
    let mut run = run(true);
    for kind in [StepKind::Init, StepKind::WorkspaceNew, StepKind::WorkspaceSelect] {
        pass(&mut run, kind);
    }
    run
}

fn pass(run: &mut Run, kind: StepKind) {
    step(run, kind, Exit::Code(0), "", "");
}

fn step(run: &mut Run, kind: StepKind, exit: Exit, stdout: &str, stderr: &str) {
    match run.next() {
        Action::Exec(step) => assert_eq!(step.kind, kind),
        other => panic!("{other:?} instead of {kind:?}"),
    }
    run.handle_exit(exit, stdout.as_bytes(), stderr.as_bytes());
}

fn failed(run: &mut Run, start: &str) {
    let Action::Done(Err(error)) = run.next() else { panic!("must have failed") };
    assert!(error.starts_with(start), "{error}");
}
