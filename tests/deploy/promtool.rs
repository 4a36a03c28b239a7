//! What Prometheus' own tool says of the metrics and the alerts. Needs promtool (`scripts/fetch-promtool`; `PROMTOOL` names another).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::agent::{Agent, eventually};

const TASK: &str = r#"
audit { file = "audit.log" }
access { default = "write" }
task {
  name    = "web"
  command = ["true"]
  condition "schedule" { cron = "* * * * * * *" }
}
"#;

fn promtool() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = Command::new(root.join("scripts/fetch-promtool")).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let path = String::from_utf8(found.stdout).unwrap();
    let mut command = Command::new(PathBuf::from(path.trim()));
    command.current_dir(root.join("deploy/prometheus"));
    command
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn the_metrics_of_a_real_agent_are_as_prometheus_wants_them() {
    let agent = Agent::start(TASK, &[]);
    assert!(agent.quorate(&["ready", "-wait", "2m"]).0, "{}", agent.log());
    eventually("a run has ended", || {
        agent.metrics().contains("quorate_runs_finished_total{task=\"web\",outcome=\"success\"}")
    });
    let text = agent.metrics();
    for line in
        ["quorate_task_last_run_success{task=\"web\"} 1", "quorate_readiness_check_passed{check=\"majority\"} 1"]
    {
        assert!(text.lines().any(|found| found == line), "no line {line}: {text}");
    }
    let check = |text: &str| {
        let mut command = promtool();
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(check(&text), (true, String::new()), "{text}");
    let (ok, said) = check("# TYPE quorate_wrong counter\nquorate_wrong 1\n");
    assert!(!ok && said.contains("_total"), "promtool looks at what it is given: {said}");
}

#[test]
fn the_alerts_are_rules_that_fire_when_they_should() {
    succeeds(promtool().args(["check", "rules", "alerts.yml"]));
    let said = succeeds(promtool().args(["test", "rules", "alerts_test.yml"]));
    assert!(said.contains("SUCCESS"), "{said}");
}
