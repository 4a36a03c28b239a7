//! Alerts, dashboard, chart and job name things that exist.

use std::collections::BTreeSet;
use std::process::Command;

use hcl_edit::structure::Body;
use regex::Regex;
use serde_json::Value;

use super::agent::text;

/// Names of metrics in a text, without the endings of a histogram's series.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(?:quorate|process)_[a-z_]+[a-z]").unwrap();
    let ends = ["_bucket", "_sum", "_count"];
    let without = |name: &str| ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned();
    name.find_iter(text).map(|found| without(found.as_str())).collect()
}

fn known_metrics() -> BTreeSet<String> {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    let known: BTreeSet<String> = rows.collect();
    assert!(known.len() > 40, "only {known:?} were found: has the page another form?");
    known
}

fn alerts() -> BTreeSet<String> {
    let rules = text("deploy/prometheus/alerts.yml");
    let name = |line: &str| line.trim().strip_prefix("- alert: ").map(str::to_owned);
    let names: Vec<String> = rules.lines().filter_map(name).collect();
    let unique: BTreeSet<String> = names.iter().cloned().collect();
    assert!(unique.len() == names.len() && unique.len() > 20, "{names:?}");
    unique
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_exists() {
    let known = known_metrics();
    for file in [
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/alerts_test.yml",
        "deploy/grafana/dashboard.json",
        "docs/operations.md",
    ] {
        let unknown: Vec<String> = metrics_in(&text(file)).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{file} names what docs/metrics.md has not: {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_case_and_a_place_in_the_runbook() {
    let (rules, cases, page) =
        (text("deploy/prometheus/alerts.yml"), text("deploy/prometheus/alerts_test.yml"), text("docs/operations.md"));
    for alert in alerts() {
        assert!(
            cases.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "{alert} has no case in which it fires"
        );
        assert!(
            rules.contains(&format!("runbook: docs/operations.md#{}\n", alert.to_lowercase())),
            "{alert} has no runbook"
        );
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/operations.md does not say what to do about {alert}");
    }
    let told = page.lines().filter_map(|line| line.strip_prefix("### Quorate")).map(|rest| format!("Quorate{rest}"));
    let stale: Vec<String> = told.filter(|name| !alerts().contains(name)).collect();
    assert!(stale.is_empty(), "docs/operations.md has alerts that there are none of: {stale:?}");
}

#[test]
fn the_dashboard_is_one_that_grafana_can_read() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert!(ids.len() == panels.len() && panels.len() > 20, "an id for each panel");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} shows nothing");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(!metrics_in(expression).is_empty(), "{title}: {expression}");
            assert!(expression.contains("job=\"$job\""), "{title} shows other clusters, too: {expression}");
        }
        let place = &panel["gridPos"];
        assert!(place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap() <= 24, "{title} is wider than the page");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job"]);
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = text("deploy/helm/quorate/Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\n")), "{chart}");
    assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")), "{chart}");
}

/// Nomad itself is not asked: `scripts/package-check` does where there is one.
#[test]
fn the_job_of_nomad_is_hcl_with_what_an_agent_needs() {
    let source = text("deploy/nomad/quorate.nomad.hcl");
    let body: Body = source.parse().unwrap_or_else(|error| panic!("deploy/nomad/quorate.nomad.hcl: {error}"));
    let job = body.get_blocks("job").next().unwrap();
    let group = job.body.get_blocks("group").next().unwrap();
    let task = group.body.get_blocks("task").next().unwrap();
    let string = |body: &Body, key: &str| body.get_attribute(key).unwrap().value.as_str().unwrap().to_owned();
    assert_eq!(string(&task.body, "driver"), "raw_exec");
    assert_eq!(string(&task.body, "kill_signal"), "SIGTERM");
    let update = job.body.get_blocks("update").next().unwrap();
    assert_eq!(update.body.get_attribute("max_parallel").unwrap().value.as_number().unwrap().as_u64(), Some(1));
    let check = group.body.get_blocks("service").next().unwrap().body.get_blocks("check").next().unwrap();
    assert_eq!(string(&check.body, "path"), "/readyz");
    // The configuration in its template, as an agent would read it with values in place.
    let start = source.find("<<-EOT\n").unwrap() + "<<-EOT\n".len();
    let end = start + source[start..].find("EOT\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, Command::new(env!("CARGO_BIN_EXE_quorate")).arg("keygen").output().unwrap().stdout).unwrap();
    let home = dir.path().to_str().unwrap();
    let config = source[start..end]
        .replace("{{ env \"node.unique.name\" }}", "edge-1")
        .replace("{{ env \"NOMAD_ADDR_http\" }}", "127.0.0.1:0")
        .replace("{{ env \"NOMAD_ADDR_gossip\" }}", "127.0.0.1:0")
        .replace(
            "${jsonencode(formatlist(\"%s:8559\", local.machines))}",
            "[\"edge-1:8559\", \"edge-2:8559\", \"edge-3:8559\"]",
        )
        .replace("${length(local.machines)}", "3")
        .replace("${local.gossip_key}", key.to_str().unwrap())
        .replace("/var/lib/quorate", home);
    assert!(!config.contains("${") && !config.contains("{{"), "a value without a stand-in: {config}");
    let file = dir.path().join("quorate.hcl");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["config", "check", "-config-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
