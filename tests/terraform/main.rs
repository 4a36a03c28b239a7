//! The terraform room against the real program: what we generate it must accept, what it says we must understand.
//!
//! Needs `terraform` or `tofu` on the PATH: without one these tests fail, unless scripts/test leaves them out
//! (tests/needs.txt). The modules use only what is built in, so nothing is downloaded.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use quorate::task::MemberInput;
use quorate::task::consul_data::{Data, Query};
use quorate::task::spec::{Condition, Guards, ModuleInput, Retry, TaskSpec, TerraformWork, Work};
use quorate::terraform::{
    Action, Binary, Chosen, DefaultBackend, Exit, Inputs, Plan, Provider, Run, Settings, Step, StepKind, Written,
    backend, binary, env, initialised, workspace,
};

mod consul;
mod inspect;
mod state;

const SERVICES: &str = "variable \"services\" {}\n";

#[test]
fn a_first_run_creates_a_second_changes_nothing_and_begins_at_apply() {
    let bench = Bench::new(&format!("{SERVICES}resource \"terraform_data\" \"it\" {{ input = var.services }}\n"));
    let first = bench.run();
    assert_eq!(first.result, Ok(()));
    assert_eq!(
        first.kinds(),
        [StepKind::Init, StepKind::WorkspaceNew, StepKind::WorkspaceSelect, StepKind::Validate, StepKind::Apply]
    );
    assert!(first.printed().contains("1 added"), "{}", first.printed());
    assert!(bench.dir().join("terraform.tfstate.d/edge/terraform.tfstate").exists());

    let second = bench.run();
    assert_eq!((second.kinds(), second.result.clone()), (vec![StepKind::Apply], Ok(())));
    assert!(second.printed().contains("0 added, 0 changed, 0 destroyed"), "{}", second.printed());

    fs::write(bench.module().join("more.tf"), "resource \"terraform_data\" \"more\" {}\n").unwrap();
    let third = bench.run();
    assert_eq!(third.kinds()[0], StepKind::Init, "an edited module is initialised again");
    assert!(third.printed().contains("1 added"), "{}", third.printed());
}

#[test]
fn what_is_generated_is_formatted_as_terraform_does_it() {
    let mut bench = Bench::new(SERVICES);
    bench.settings.providers = vec![Provider {
        name: "fw".to_owned(),
        alias: Some("east".to_owned()),
        args: object(
            r#"{"host": "h", "rule": [{"name": "a", "tags": [{"x": 1}, 2]}, {"name": "b"}], "tls": {"ca": "c"}}"#,
        ),
        ..Provider::default()
    }];
    bench.work.providers = vec!["fw.east".to_owned()];
    bench.set("zone", "{ a = [1, { b = \"c\" }], long-name = {}, d = [] }");
    bench.set("y", "\"$${x} %%{y}\"");
    bench.members = vec!["cts-01", "cts-02"].into_iter().map(member).collect();
    bench.write();
    let checked = bench.terraform(&["fmt", "-check", "-diff", "-no-color"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn hostile_values_arrive_as_they_were_sent() {
    let hostile = [
        "${file(\"/etc/passwd\")}",
        "%{ if true }x%{ endif }",
        "$${a}",
        "$$${a}",
        "$$$${a}",
        "%%{a}",
        "%%%{a}",
        "$%{a}",
        "%${a}",
        "$",
        "$$",
        "%",
        "$\\{a}",
        "\\${a}",
        "\"quoted\" \\n \\u0041",
        "line\nbreak\r\n\ttab",
        "nul\0nul",
        "<<EOF\nx\nEOF\n",
        "}\n\nmodule \"evil\" {}\n",
        "# no comment /* at all */ //",
        "\u{7f}\u{80}\u{2028}\u{feff}ü€😀",
    ];
    let mut bench = Bench::new(&format!(
        "{SERVICES}variable \"members\" {{\n  type = map(object({{ id = string, address = string }}))\n}}\n\
         resource \"terraform_data\" \"it\" {{ input = var.members }}\n"
    ));
    bench.members = hostile.iter().map(|text| MemberInput { address: (*text).to_owned(), ..member(text) }).collect();
    assert_eq!(bench.run().result, Ok(()));
    let kept = bench.kept();
    let kept = kept.as_object().unwrap();
    assert_eq!(kept.len(), hostile.len());
    for text in hostile {
        assert_eq!((kept[text]["id"].as_str(), kept[text]["address"].as_str()), (Some(text), Some(text)));
    }
}

#[test]
fn a_module_without_the_services_variable_is_told_in_plain_words() {
    let bench = Bench::new("resource \"terraform_data\" \"it\" {}\n");
    let run = bench.run();
    let error = run.result.clone().unwrap_err();
    assert!(error.starts_with("module for task \"edge\" is missing the \"services\" variable"), "{error}");
    assert_eq!(run.kinds().last(), Some(&StepKind::Validate), "nothing was applied");
}

#[test]
fn a_module_without_the_members_variable_is_told_what_to_set() {
    let mut bench = Bench::new(SERVICES);
    bench.members = vec![member("cts-01")];
    let error = bench.run().result.unwrap_err();
    assert!(error.contains("is missing the \"members\" variable") && error.contains("use_as_module_input"), "{error}");
}

#[test]
fn a_failing_provisioner_is_an_apply_error_with_its_text() {
    let bench = Bench::new(&format!("{SERVICES}{}", provisioner("echo out of order >&2; exit 7")));
    let error = bench.run().result.unwrap_err();
    assert!(error.starts_with("error tf-apply for 'edge': exit status 1\n\n"), "{error}");
    assert!(error.contains("out of order"), "{error}");
    let again = bench.run();
    assert_eq!(again.kinds(), [StepKind::Apply], "a retry does not initialise again");
    assert!(again.result.is_err());
}

#[test]
fn a_missing_module_is_an_init_error() {
    let bench = Bench::new(SERVICES);
    fs::remove_dir_all(bench.module()).unwrap();
    let error = bench.run().result.unwrap_err();
    assert!(error.starts_with("error tf-init for 'edge': exit status 1\n\n"), "{error}");
}

#[test]
fn a_run_that_wrongly_skipped_init_heals_itself() {
    let bench = Bench::new(&format!("{SERVICES}module \"inner\" {{ source = \"./inner\" }}\n"));
    fs::create_dir(bench.module().join("inner")).unwrap();
    fs::write(bench.module().join("inner/main.tf"), "resource \"terraform_data\" \"it\" {}\n").unwrap();
    bench.write();
    let run = bench.run_from(false);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.kinds().len(), 6, "apply, then everything: {:?}", run.kinds());
}

#[test]
fn lost_state_of_the_chosen_workspace_is_begun_anew() {
    let bench = Bench::new(&format!("{SERVICES}resource \"terraform_data\" \"it\" {{}}\n"));
    assert_eq!(bench.run().result, Ok(()));
    fs::remove_dir_all(bench.dir().join("terraform.tfstate.d")).unwrap();
    let run = bench.run_from(true);
    assert_eq!(run.result, Ok(()), "{}", run.printed());
    assert!(run.printed().contains("1 added"), "{}", run.printed());
}

#[test]
fn one_interrupt_ends_a_run_with_its_state_saved_and_its_lock_released() {
    let bench = Bench::new(&format!(
        "{SERVICES}resource \"terraform_data\" \"first\" {{}}\n{}",
        provisioner("touch started; exec sleep 600")
    ));
    let started = bench.dir().join("started");
    let run = bench.run_with(true, |step, mut command| {
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if step.kind == StepKind::Apply {
            wait_until("the provisioner runs", || started.exists());
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
        }
        child.wait_with_output().unwrap()
    });
    let error = run.result.unwrap_err();
    assert!(error.starts_with("error tf-apply for 'edge': exit status 1"), "{error}");
    let directory = bench.dir().join("terraform.tfstate.d/edge");
    let state = fs::read_to_string(directory.join("terraform.tfstate")).unwrap();
    assert!(state.contains("\"first\""), "{state}");
    assert!(!directory.join(".terraform.tfstate.lock.info").exists());
}

#[test]
fn a_foreign_variable_does_not_reach_the_run_and_task_env_does() {
    let mut bench = Bench::new(&format!(
        "{SERVICES}variable \"zone\" {{ default = \"own\" }}\n{}output \"zone\" {{ value = var.zone }}\n",
        provisioner("printf '%s' \"$FW_KEY $TF_IN_AUTOMATION ${TF_CLI_ARGS-unset}\" > seen").replace("${", "$${")
    ));
    bench.base = vec![("TF_VAR_zone".into(), "evil".into()), ("TF_CLI_ARGS".into(), "-nonsense".into())];
    bench.settings.providers = vec![Provider {
        name: "terraform".to_owned(),
        task_env: BTreeMap::from([("FW_KEY".to_owned(), "secret".to_owned())]),
        ..Provider::default()
    }];
    bench.work.providers = vec!["terraform".to_owned()];
    let run = bench.run();
    assert_eq!(run.result, Ok(()));
    assert_eq!(fs::read_to_string(bench.dir().join("seen")).unwrap(), "secret 1 unset");
}

#[test]
fn persist_log_leaves_a_trace_in_the_directory() {
    let mut bench = Bench::new(SERVICES);
    bench.settings.persist_log = true;
    assert_eq!(bench.run().result, Ok(()));
    assert!(fs::read_to_string(bench.dir().join(env::LOG_FILE)).unwrap().contains("[TRACE]"));
}

#[test]
fn the_example_module_writes_the_members() {
    let mut bench = Bench::new("");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/modules/members-file");
    bench.work.module = module.to_str().unwrap().to_owned();
    let file = bench.root.path().join("members.txt");
    bench.set("file", &format!("{:?}", file.to_str().unwrap()));
    bench.members = vec![member("cts-01"), member("cts-02")];
    let run = bench.run();
    assert_eq!(run.result, Ok(()), "{}", run.printed());
    let text = "member cts-01 host.example 127.0.0.1:8559\nmember cts-02 host.example 127.0.0.1:8559\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    bench.members.pop();
    assert_eq!(bench.run().result, Ok(()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "member cts-01 host.example 127.0.0.1:8559\n");
}

/// A task with a module of its own, in a directory of its own.
struct Bench {
    root: tempfile::TempDir,
    binary: Binary,
    settings: Settings,
    work: TerraformWork,
    members: Vec<MemberInput>,
    condition: Condition,
    inputs: Vec<ModuleInput>,
    data: BTreeMap<Query, Arc<Data>>,
    default_backend: DefaultBackend,
    base: Vec<(String, String)>,
}

struct Ran {
    result: Result<(), String>,
    plan: Option<Plan>,
    steps: Vec<(StepKind, Output)>,
}

impl Ran {
    fn kinds(&self) -> Vec<StepKind> {
        self.steps.iter().map(|(kind, _)| *kind).collect()
    }

    fn printed(&self) -> String {
        let text = |(kind, output): &(StepKind, Output)| {
            let of = |bytes| String::from_utf8_lossy(bytes).into_owned();
            format!("{kind:?} {}\n{}{}\n", output.status, of(&output.stdout), of(&output.stderr))
        };
        self.steps.iter().map(text).collect()
    }
}

impl Bench {
    fn new(module: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("module");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("main.tf"), module).unwrap();
        let work = TerraformWork {
            module: path.to_str().unwrap().to_owned(),
            version: String::new(),
            providers: Vec::new(),
            variables: BTreeMap::new(),
        };
        Self {
            root,
            binary: found(),
            settings: Settings::default(),
            work,
            members: Vec::new(),
            condition: Condition::None,
            inputs: Vec::new(),
            data: BTreeMap::new(),
            default_backend: DefaultBackend::Local,
            base: Vec::new(),
        }
    }

    fn set(&mut self, name: &str, text: &str) {
        self.work.variables.insert(name.to_owned(), text.to_owned());
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("edge")
    }

    fn module(&self) -> PathBuf {
        self.root.path().join("module")
    }

    fn write(&self) -> Written {
        let task = TaskSpec {
            name: "edge".to_owned(),
            description: "a test".to_owned(),
            enabled: true,
            condition: self.condition.clone(),
            inputs: self.module_inputs(),
            work: Work::Terraform(self.work.clone()),
            buffer: None,
            retry: Retry::default(),
            park: None,
            guards: Guards::default(),
            grace: Duration::from_secs(30),
            timeout: None,
            working_dir: self.dir(),
            run: quorate::task::spec::RunOptions::default(),
        };
        let inputs = Inputs::of(&self.members).with(self.data.clone());
        workspace::write(&self.dir(), &task, &self.work, &inputs, &self.binary, &self.settings, &self.state()).unwrap()
    }

    fn module_inputs(&self) -> Vec<ModuleInput> {
        let members = (!self.members.is_empty()).then_some(ModuleInput::Members);
        self.inputs.iter().cloned().chain(members).collect()
    }

    fn state(&self) -> Chosen {
        backend::choose(self.settings.backend.as_ref(), None, &self.default_backend)
    }

    /// The workspace that is selected when everything is initialised.
    fn workspace(&self) -> Option<&'static str> {
        self.state().has_workspaces().then_some("edge")
    }

    /// What the task left in its state as the input of `terraform_data.it`.
    fn kept(&self) -> serde_json::Value {
        let state = fs::read(self.dir().join("terraform.tfstate.d/edge/terraform.tfstate")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["resources"][0]["instances"][0]["attributes"]["input"]["value"].clone()
    }

    /// As the runtime does it: write, look whether `init` is needed, run.
    fn run(&self) -> Ran {
        self.write();
        self.run_from(!initialised::is_initialised(&self.dir(), self.workspace(), &self.binary))
    }

    fn run_from(&self, init_needed: bool) -> Ran {
        self.run_with(init_needed, |_, mut command| command.output().unwrap())
    }

    fn run_with(&self, init_needed: bool, execute: impl FnMut(&Step, Command) -> Output) -> Ran {
        self.write();
        self.carry_out(Run::new(self.binary.clone(), "edge", init_needed), execute)
    }

    fn carry_out(&self, mut run: Run, mut execute: impl FnMut(&Step, Command) -> Output) -> Ran {
        if self.workspace().is_none() {
            run = run.without_workspaces();
        }
        let mut steps = Vec::new();
        loop {
            match run.next() {
                Action::Exec(step) => {
                    let output = execute(&step, self.command(&step.argv));
                    let exit = match (output.status.code(), output.status.signal()) {
                        (Some(code), _) => Exit::Code(code),
                        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                    };
                    run.handle_exit(exit, &output.stdout, &output.stderr);
                    steps.push((step.kind, output));
                }
                Action::Remember => initialised::remember(&self.dir(), &self.binary).unwrap(),
                Action::Review => run.apply_plan(),
                Action::Done(result) => return Ran { result, steps, plan: run.plan().cloned() },
            }
        }
    }

    fn command(&self, argv: &[impl AsRef<std::ffi::OsStr>]) -> Command {
        let base = std::env::vars().chain(self.base.iter().cloned());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir(self.dir()).stdin(Stdio::null());
        command.env_clear().envs(env::env_for(&self.settings, &self.work, &self.dir(), &self.state().env, base));
        command.env("CHECKPOINT_DISABLE", "1");
        command
    }

    fn terraform(&self, arguments: &[&str]) -> Output {
        let argv: Vec<&str> =
            [self.binary.path.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
        self.command(&argv).output().unwrap()
    }
}

fn found() -> Binary {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(binary::find(&Settings::default(), path.to_str().unwrap())).unwrap_or_else(|error| {
        panic!(
            "these tests need Terraform (>= 1.4) or OpenTofu on the PATH: {error}. Install it from \
             https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install/, \
             or run `scripts/test`, which says what is missing"
        )
    })
}

fn provisioner(command: &str) -> String {
    let command = format!("{command:?}");
    format!("resource \"terraform_data\" \"it\" {{\n  provisioner \"local-exec\" {{ command = {command} }}\n}}\n")
}

fn member(id: &str) -> MemberInput {
    MemberInput {
        id: id.to_owned(),
        address: "host.example".to_owned(),
        api_address: "127.0.0.1:8558".to_owned(),
        gossip_address: "127.0.0.1:8559".to_owned(),
        instance: "0a".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

fn object(text: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(text).unwrap()
}

/// Waits for a condition, for a minute at most.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("gave up waiting until {what}");
}
