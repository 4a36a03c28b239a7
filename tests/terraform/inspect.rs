//! Plans without applying, and what `apply -json` tells.

use quorate::terraform::events::{self, Changes};

use super::*;

fn two() -> Bench {
    Bench::new(&format!(
        "{SERVICES}resource \"terraform_data\" \"it\" {{ input = 1 }}\nresource \"terraform_data\" \"other\" {{}}\n"
    ))
}

#[test]
fn an_inspection_says_what_would_change_and_changes_nothing() {
    let bench = two();
    let plan = bench.inspect(true).plan.unwrap();
    assert!(plan.changes && plan.text.contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{}", plan.text);
    assert!(plan.text.contains("resource \"terraform_data\" \"other\""), "text for people: {}", plan.text);
    assert!(bench.terraform(&["state", "list"]).stdout.is_empty());

    let run = bench.run();
    assert_eq!((run.kinds(), run.result.clone()), (vec![StepKind::Apply], Ok(())), "the inspection has initialised");
    let plan = bench.inspect(false).plan.unwrap();
    assert!(!plan.changes && plan.text.contains("No changes"), "{}", plan.text);
}

#[test]
fn a_plan_that_fails_is_a_plan_error() {
    let bench = Bench::new(&format!(
        "{SERVICES}data \"terraform_remote_state\" \"no\" {{\n  backend = \"local\"\n  config = {{ path = \"/no/such\" }}\n}}\n"
    ));
    let error = bench.inspect(true).result.unwrap_err();
    assert!(
        error.starts_with("error tf-plan for 'edge': exit status 1\n\n")
            && error.contains("Unable to find remote state"),
        "{error}"
    );
}

#[test]
fn a_preparation_validates_and_stops() {
    let bench = two();
    bench.write();
    let run = Run::new(bench.binary.clone(), "edge", true).preparing();
    let ran = bench.carry_out(run, |_, mut command| command.output().unwrap());
    assert_eq!((ran.result.clone(), ran.kinds().last()), (Ok(()), Some(&StepKind::Validate)));
    let bad = Bench::new("resource \"terraform_data\" \"it\" {}\n");
    bad.write();
    let run = Run::new(bad.binary.clone(), "edge", true).preparing();
    assert!(bad.carry_out(run, |_, mut command| command.output().unwrap()).result.is_err());
}

#[test]
fn progress_counts_changes_and_the_log_is_for_people() {
    let run = two().run();
    let apply = &run.steps.last().unwrap().1;
    let output = String::from_utf8_lossy(&apply.stdout);
    let mut changes = Changes::default();
    for line in output.lines() {
        changes.handle_line(line.as_bytes());
    }
    assert_eq!((changes.done(), changes.total()), (2, 2));
    let text = output.lines().map(events::message).collect::<Vec<_>>().join("\n");
    assert!(text.contains("Apply complete! Resources: 2 added") && !text.contains('{'), "{text}");
}

#[test]
fn an_apply_error_names_the_resource_and_its_line() {
    let error = Bench::new(&format!("{SERVICES}{}", provisioner("exit 7"))).run().result.unwrap_err();
    assert!(error.contains("with module.edge.terraform_data.it,"), "{error}");
    assert!(error.contains("main.tf line 3, in resource \"terraform_data\" \"it\":"), "{error}");
    assert!(!error.contains("@level"), "{error}");
}

impl Bench {
    fn inspect(&self, init_needed: bool) -> Ran {
        self.write();
        let run = Run::new(self.binary.clone(), "edge", init_needed).inspecting();
        self.carry_out(run, |_, mut command| command.output().unwrap())
    }
}
