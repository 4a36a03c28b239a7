//! The file of `task create -task-file` (`reference/cts.md` 5.4) to the object that the API is sent.
//!
//! Files of variables are read here, on the client; the path of a module goes as it is written, for the server to find.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::diagnostic::Problems;
use super::raw::RawRoot;
use super::raw::task::RawTask;
use super::read::Read as _;
use super::resolve::{World, one_task};
use super::source;
use super::span::{Format, SourceFile};
use super::task_object::{ObjectContext, whole};
use super::{Diagnostic, Report, hcl1, json as json_text, repeated};
use crate::terraform;

/// Reads the one task of a file: the object, and what is odd about the text, for people. `Err`: what is wrong; relative
/// paths start at `cwd`.
pub fn task_file(path: &Path, cwd: &Path) -> Result<(Value, Vec<Diagnostic>), String> {
    let mut problems = Problems::default();
    let files = source::collect(&[path.to_owned()], cwd, &mut problems);
    let mut raw = RawRoot::default();
    for file in &files {
        match parse(file) {
            Ok(mut object) => {
                repeated::settle(&mut object, &mut problems);
                raw.absorb(RawRoot::from_object(&object, "", &mut problems));
            }
            Err(problem) => problems.add(problem),
        }
    }
    let mut odd = warnings(problems)?;
    let tasks = raw.task.as_ref().map(|tasks| tasks.value.0.as_slice()).unwrap_or_default();
    let name = path.display();
    let block = match tasks {
        [] => return Err(format!("task file {name} does not contain a task (write one `task {{ .. }}` block)")),
        [one] => one,
        more => return Err(format!("task file {name} cannot contain more than 1 task, contains {} tasks", more.len())),
    };
    let task = &block.value;
    deprecated(task)?;
    let context = ObjectContext {
        buffer: None,
        working_dir: cwd.to_owned(),
        cwd: cwd.to_owned(),
        in_cluster: true,
        terraform: terraform::Settings::default(),
    };
    let env = BTreeMap::new();
    let world = World { env: &env, hostname: "", cwd };
    let mut problems = Problems::default();
    let spec = one_task(block, &RawRoot::default(), &context, &world, &mut problems);
    odd.extend(warnings(problems)?);
    let mut object = whole(&spec, &context);
    if let Some(module) = &task.module {
        object["module"] = json!(module.value);
    }
    // Not shown when it is as the context has it; the server's own may be on.
    if task.buffer_period.as_ref().is_some_and(|it| it.value.enabled.as_ref().is_some_and(|enabled| !enabled.value)) {
        object["buffer_period"] = json!({"enabled": false});
    }
    // The rest (the module's place, the providers) is the server's to judge.
    odd.retain(|finding| finding.is_weak);
    Ok((object, odd))
}

fn parse(file: &Arc<SourceFile>) -> Result<super::tree::Object, Diagnostic> {
    match file.format {
        Format::Json => json_text::parse(file),
        Format::Hcl | Format::Plain => hcl1::parse(file),
    }
}

/// What is odd; `Err` when something is wrong.
fn warnings(problems: Problems) -> Result<Vec<Diagnostic>, String> {
    if !problems.any_error() {
        return Ok(problems.into_sorted());
    }
    Err(Report { diagnostics: problems.into_sorted() }.to_string())
}

/// What the API does not know: old names, each with what to write, and keys of files only.
fn deprecated(task: &RawTask) -> Result<(), String> {
    let old = |name: &str, instead: &str| {
        Err(format!("the '{name}' field in the task block is no longer supported; write instead:\n    {instead}"))
    };
    if let Some(services) = &task.services {
        let names: Vec<String> = services.value.iter().map(|name| format!("{:?}", name.value)).collect();
        return old("services", &format!("condition \"services\" {{ names = [{}] }}", names.join(", ")));
    }
    if let Some(source) = &task.source {
        return old("source", &format!("module = {:?}", source.value));
    }
    if task.source_input.is_some() {
        return old("source_input", "module_input \"<type>\" { .. }");
    }
    let bodies = task.condition.iter().flat_map(|many| &many.value.0).flat_map(|block| &block.value.0);
    for body in bodies {
        let body = body.value.to_json();
        if body.get("source_includes_var").is_some() {
            return old("source_includes_var", "use_as_module_input = true");
        }
    }
    let files_only = [
        ("working_dir", task.working_dir.is_some()),
        ("grace", task.grace.is_some()),
        ("timeout", task.timeout.is_some()),
        ("policy", task.policy.is_some()),
        ("drift", task.drift.is_some()),
        ("run_env", task.run_env.is_some()),
        ("run_as", task.run_as.is_some()),
        ("no_new_privs", task.no_new_privs.is_some()),
        ("limits", task.limits.is_some()),
        ("min_instances", task.min_instances.is_some()),
        ("max_change_percent", task.max_change_percent.is_some()),
    ];
    let named: Vec<&str> = files_only.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(format!("the API cannot set {}: remove this, or put the task in the agents' configuration", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.hcl"), text).unwrap();
        std::fs::write(dir.path().join("v.tfvars"), "n = 8080\n").unwrap();
        task_file(Path::new("t.hcl"), dir.path()).map(|(object, _)| object)
    }

    #[test]
    fn variables_are_read_here_and_the_module_is_not_looked_for() {
        let text = "task {\n name = \"t\"\n module = \"./fw\"\n variable_files = [\"v.tfvars\"]
            buffer_period { enabled = false }\n condition \"consul-kv\" { path = \"a\" }\n}";
        let object = read(text).unwrap();
        assert_eq!((&object["module"], &object["variables"]), (&json!("./fw"), &json!({"n": "8080"})));
        assert_eq!(object["condition"]["consul_kv"]["path"], "a");
        assert_eq!(object["buffer_period"], json!({"enabled": false}));
        let plain = read("task {\n name = \"t\"\n module = \"./fw\"\n condition \"members\" {}\n}").unwrap();
        assert_eq!(plain.get("buffer_period"), None, "the server's own counts");
    }

    #[test]
    fn what_the_api_cannot_take_is_refused() {
        let task = |inner: &str| format!("task {{\n name = \"t\"\n module = \"m/x\"\n {inner}\n}}\n");
        for (text, why) in [
            ("port = 1".to_owned(), "does not contain a task"),
            (task("") + &task(""), "cannot contain more than 1 task, contains 2 tasks"),
            (task("services = [\"web\"]"), "the 'services' field in the task block is no longer supported"),
            (task("source = \"x\""), "the 'source' field"),
            (task("source_input \"services\" { regexp = \"\" }"), "the 'source_input' field"),
            (
                task("condition \"services\" { regexp = \"\" source_includes_var = true }"),
                "the 'source_includes_var' field",
            ),
            (task("working_dir = \"/x\""), "the API cannot set working_dir"),
            (task("condition \"schedule\" { cron = \"x\" }"), "is not a timetable"),
            ("task {".to_owned(), "1 error"),
        ] {
            let said = read(&text).expect_err(&text);
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(task_file(Path::new("/no/such.hcl"), Path::new("/")).is_err());
    }
}
