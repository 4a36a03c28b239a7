use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::json;

use super::super::Provider;
use super::super::binary::Kind;
use super::super::version::Version;
use super::*;
use crate::task::MemberInput;
use crate::task::spec::{Condition, Guards, ModuleInput, Retry, Work};

#[test]
fn it_is_the_same_for_the_same_and_ignores_what_terraform_leaves() {
    let case = Case::new();
    let first = case.sum().unwrap();
    case.write("terraform.tfstate", "state");
    case.write("terraform.tfstate.backup", "state");
    case.write(".terraform/modules/modules.json", "{}");
    assert_eq!(case.sum().unwrap(), first);
}

#[test]
fn every_part_of_a_run_changes_it() {
    let mut case = Case::new();
    let mut sums = vec![case.sum().unwrap()];
    let mut differs = |case: &Case, what: &str| {
        let sum = case.sum().unwrap();
        assert!(!sums.contains(&sum), "{what}");
        sums.push(sum);
    };
    case.write("main.tf", "# edited");
    differs(&case, "an edited module");
    case.write("templates/a.tpl", "x");
    differs(&case, "a new file of the module");
    case.inputs = Inputs::of(&[MemberInput { id: "a".to_owned(), ..MemberInput::default() }]);
    differs(&case, "data");
    case.settings.providers[0].args.insert("password".to_owned(), json!("new"));
    differs(&case, "a secret");
    case.settings.providers[0].task_env.insert("KEY".to_owned(), "new".to_owned());
    differs(&case, "a secret of the environment");
    case.work.variables.insert("zone".to_owned(), "1".to_owned());
    differs(&case, "a variable");
    case.state.env.insert("CONSUL_HTTP_ADDR".to_owned(), "c".to_owned());
    differs(&case, "where state is");
    case.binary.version = Version::new(1, 12, 0);
    differs(&case, "the program");
}

#[test]
fn a_module_called_from_the_module_counts_too() {
    let case = Case::new();
    fs::create_dir(case.root.path().join("shared")).unwrap();
    fs::write(case.root.path().join("shared/main.tf"), "one").unwrap();
    case.write("main.tf", "module \"a\" { source = \"../shared\" }\nmodule \"b\" { source = \"../shared\" }");
    let first = case.sum().unwrap();
    fs::write(case.root.path().join("shared/main.tf"), "two").unwrap();
    assert_ne!(case.sum().unwrap(), first);
}

#[test]
fn what_cannot_be_known_is_not_guessed() {
    let case = Case::new();
    case.write("main.tf", "locals { x = file(\"${path.module}/../other\") }");
    assert!(case.sum().unwrap_err().contains("outside of its module"));
    let case = Case::new();
    fs::remove_dir_all(case.root.path().join("module")).unwrap();
    assert!(case.sum().is_err());
    let case = Case::new();
    std::os::unix::fs::symlink(".", case.root.path().join("module/loop")).unwrap();
    assert!(case.sum().is_err(), "a loop of links ends");
    let case = Case::new();
    fs::File::create(case.root.path().join("module/huge")).unwrap().set_len(BYTES_MAX + 1).unwrap();
    assert!(case.sum().unwrap_err().contains("too large"));
}

#[test]
fn a_module_from_elsewhere_counts_by_its_address_and_version() {
    let mut case = Case::new();
    case.work.module = "acme/edge/fw".to_owned();
    case.work.version = "1.0.0".to_owned();
    let first = case.sum().unwrap();
    assert_eq!(case.sum().unwrap(), first);
    case.work.version = "1.0.1".to_owned();
    assert_ne!(case.sum().unwrap(), first);
}

struct Case {
    root: tempfile::TempDir,
    work: TerraformWork,
    inputs: Inputs,
    settings: Settings,
    state: Chosen,
    binary: Binary,
}

impl Case {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let module = root.path().join("module");
        fs::create_dir(&module).unwrap();
        fs::write(module.join("main.tf"), "# it").unwrap();
        let work = TerraformWork {
            module: module.to_str().unwrap().to_owned(),
            version: String::new(),
            providers: vec!["fw".to_owned()],
            variables: BTreeMap::new(),
        };
        let settings = Settings {
            providers: vec![Provider { name: "fw".to_owned(), ..Provider::default() }],
            ..Settings::default()
        };
        let binary = Binary { path: "/t".into(), kind: Kind::Terraform, version: Version::new(1, 11, 4) };
        Self { root, work, inputs: Inputs::default(), settings, state: Chosen::default(), binary }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.path().join("module").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn sum(&self) -> Result<[u8; 32], String> {
        let task = TaskSpec {
            name: "edge".to_owned(),
            description: String::new(),
            enabled: true,
            condition: Condition::None,
            inputs: vec![ModuleInput::Members],
            work: Work::Terraform(self.work.clone()),
            buffer: None,
            retry: Retry::default(),
            park: None,
            guards: Guards::default(),
            grace: Duration::from_secs(30),
            timeout: None,
            working_dir: "/unused".into(),
            run: crate::task::spec::RunOptions::default(),
        };
        fingerprint(&task, &self.work, &self.inputs, &self.binary, &self.settings, &self.state)
    }
}
