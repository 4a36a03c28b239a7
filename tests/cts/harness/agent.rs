//! The program with a configuration of CTS, and its API as CTS's clients use it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::consul::Consul;
use super::free_port;
use super::{eventually, modules, until};

/// A process directory: modules and the address of a Consul.
#[derive(Debug)]
pub(crate) struct Place {
    dir: tempfile::TempDir,
    /// `host:port`.
    pub(crate) consul: String,
    /// More text for the configuration, and what stands for the `driver` block.
    pub(crate) more: String,
    pub(crate) driver: String,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn new(consul: &Consul) -> Self {
        let dir = tempfile::tempdir().unwrap();
        modules::write(dir.path());
        let driver = "driver \"terraform\" {\n  log = true\n}\n".to_owned();
        Self { dir, consul: consul.address(), more: String::new(), driver, port: free_port() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Below the directory of a task.
    pub(crate) fn of(&self, task: &str, file: &str) -> PathBuf {
        self.path().join("sync-tasks").join(task).join(file)
    }

    /// `terraform.tfvars` of a task; empty: there is none.
    pub(crate) fn tfvars(&self, task: &str) -> String {
        fs::read_to_string(self.of(task, "terraform.tfvars")).unwrap_or_default()
    }

    /// The files that [`modules`] write for instances: names without `.txt`, sorted.
    pub(crate) fn resources(&self, task: &str) -> Vec<String> {
        let entries = fs::read_dir(self.of(task, "resources")).into_iter().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().trim_end_matches(".txt").to_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Writes the configuration: CTS's test fixture and these tasks.
    pub(crate) fn configure(&self, tasks: &str) -> PathBuf {
        let Self { consul, more, driver, port, .. } = self;
        let text = format!(
            "log_level = \"DEBUG\"\nconsul {{\n  address = \"{consul}\"\n  {more}\n}}\nbuffer_period {{\n  enabled = \
             false\n}}\n{driver}{tasks}\nport = {port}\n"
        );
        let path = self.path().join("config.hcl");
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.current_dir(self.path()).args(args).stdin(Stdio::null()).env("CHECKPOINT_DISABLE", "1");
        for name in ["CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_TOKEN", "VAULT_ADDR"] {
            command.env_remove(name);
        }
        command
    }

    /// Starts a daemon and waits until it leads and shows all its tasks.
    pub(crate) fn serve(&self, tasks: &str) -> Agent<'_> {
        self.configure(tasks);
        let agent = self.spawn();
        agent.wait_up(tasks.matches("task {\n").count());
        agent
    }

    /// As [`Self::serve`], and every enabled task has run.
    pub(crate) fn ready(&self, tasks: &str) -> Agent<'_> {
        let agent = self.serve(tasks);
        agent.wait_ready();
        agent
    }

    /// Starts a daemon with what was configured last.
    pub(crate) fn spawn(&self) -> Agent<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("log")).unwrap();
        let child = self.command(&["start", "-config-file=config.hcl"]).stdout(Stdio::null()).stderr(log).spawn();
        Agent { place: self, child: std::cell::RefCell::new(child.unwrap()) }
    }

    /// Runs to the end: exit code and log.
    pub(crate) fn start(&self, tasks: &str, flags: &[&str]) -> (i32, String) {
        self.configure(tasks);
        let output = self.command(&["start", "-config-file=config.hcl"]).args(flags).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// All that daemons here have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    pub(crate) place: &'a Place,
    child: std::cell::RefCell<Child>,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        if std::thread::panicking() {
            let log = self.place.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("---- the end of the log\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        drop(child.kill());
        drop(child.wait());
    }
}

impl Agent<'_> {
    #[track_caller]
    fn assert_runs(&self) {
        let ended = self.child.borrow_mut().try_wait().unwrap();
        assert!(ended.is_none(), "the daemon ended ({ended:?}):\n{}", self.place.log());
    }

    /// Until it leads and shows so many tasks: before, it shows none (O2 of `docs/cts-scenarios.md`).
    pub(crate) fn wait_up(&self, tasks: usize) {
        until("the daemon leads", || {
            self.assert_runs();
            let leads = ask("GET", &format!("http://127.0.0.1:{}/leader", self.place.port), None);
            leads.is_some_and(|(status, _)| status == 200)
                && self.get("status/tasks").as_object().is_some_and(|it| it.len() == tasks)
        });
    }

    /// SIGINT, and how it ended.
    pub(crate) fn interrupt(&self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child.borrow());
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.wait()
    }

    /// Until it has ended by itself.
    pub(crate) fn wait(&self) -> ExitStatus {
        eventually("the daemon ends", || self.child.borrow_mut().try_wait().unwrap())
    }

    /// Of a path below `/v1/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v1/{path}", self.place.port)
    }

    /// Status and body.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.assert_runs();
        ask(method, &self.url(path), body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Enables or disables a task; `query` may be `?run=now` and the like.
    pub(crate) fn enable(&self, task: &str, enabled: bool, query: &str) -> (u16, Value) {
        self.call("PATCH", &format!("tasks/{task}{query}"), Some(&json!({"enabled": enabled})))
    }

    /// Creates a task.
    pub(crate) fn create(&self, task: &Value, query: &str) -> (u16, Value) {
        self.call("POST", &format!("tasks{query}"), Some(&json!({"task": task})))
    }

    /// Deletes a task and waits until it is gone.
    pub(crate) fn delete(&self, task: &str) {
        assert_eq!(self.call("DELETE", &format!("tasks/{task}"), None).0, 202);
        until("the task is gone", || self.call("GET", &format!("tasks/{task}"), None).0 == 404);
    }

    /// Until each enabled task has run.
    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        eventually("every enabled task has run", || {
            let tasks = self.get("status/tasks");
            let waits = |task: &Value| task["enabled"] == true && task["status"] == "unknown";
            (!tasks.as_object()?.values().any(waits)).then_some(())
        });
    }

    /// `successful` and the like.
    pub(crate) fn status(&self, task: &str) -> String {
        self.get(&format!("status/tasks/{task}"))[task]["status"].as_str().unwrap().to_owned()
    }

    /// Stored events of a task, newest first.
    pub(crate) fn events(&self, task: &str) -> Vec<Value> {
        let status = self.get(&format!("status/tasks/{task}?include=events"));
        status[task]["events"].as_array().cloned().unwrap_or_default()
    }

    /// To count events from here on.
    pub(crate) fn mark(&self, task: &str) -> Mark<'_> {
        let last = self.events(task).first().map(|event| event["id"].clone());
        Mark { agent: self, task: task.to_owned(), last }
    }
}

/// A moment in the life of a task.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    agent: &'a Agent<'a>,
    task: String,
    last: Option<Value>,
}

impl Mark<'_> {
    /// Events since then, newest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events = self.agent.events(&self.task);
        match &self.last {
            None => events,
            Some(last) => {
                let known = events.iter().position(|event| event["id"] == *last);
                events[..known.expect("no more than five events since the mark")].to_vec()
            }
        }
    }

    /// Waits until there are so many events since then, all of them good, and fails when there are more.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize) {
        let what = format!("{count} new events of {}", self.task);
        let found = eventually(&what, || Some(self.events()).filter(|found| found.len() >= count));
        assert_eq!(found.len(), count, "{}: {found:#?}", self.task);
        assert!(found.iter().all(|event| event["success"] == true), "{}: {found:#?}", self.task);
    }
}

/// Status and body; a body that is no JSON is a text. `None`: nobody answered.
pub(crate) fn ask(method: &str, url: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = config.timeout_global(Some(Duration::from_mins(1))).build().new_agent();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let mut answer = match body {
        Some(body) => agent.run(request.header("content-type", "application/json").body(body.to_string()).ok()?),
        None => agent.run(request.body(()).ok()?),
    }
    .ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
