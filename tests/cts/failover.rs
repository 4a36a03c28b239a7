//! Ours: a task that follows Consul in a cluster of three. Leaders die and Consul stands still while instances are
//! registered; the state is kept by the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::cluster::Site;
use crate::harness::{Consul, until};

/// Notes in `record`, with the number of Terraform's process: that a run begins, each instance that is made, that it
/// ends and how many instances there are then. A run of the same data again notes nothing.
const MODULE: &str = r#"
variable "services" {}
locals {
  ids    = sort([for service in var.services : service.id])
  record = "RECORD"
}
resource "terraform_data" "begin" {
  triggers_replace = local.ids
  provisioner "local-exec" { command = "echo $PPID begin >> ${local.record}" }
}
resource "terraform_data" "instance" {
  depends_on = [terraform_data.begin]
  for_each   = toset(local.ids)
  provisioner "local-exec" { command = "echo $PPID make ${each.value} >> ${local.record}; sleep 0.02" }
}
resource "terraform_data" "end" {
  depends_on       = [terraform_data.instance]
  triggers_replace = local.ids
  provisioner "local-exec" { command = "echo $PPID end ${length(local.ids)} >> ${local.record}" }
}
"#;

#[test]
fn leaders_die_and_consul_stands_still_while_instances_come() {
    let consul = Consul::start();
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let record = site.path().join("runs");
    let module = site.path().join("module");
    std::fs::create_dir(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE.replace("RECORD", &record.display().to_string())).unwrap();
    site.shape.more = format!(
        "consul {{\n address = \"{}\"\n}}\nbuffer_period {{\n enabled = false\n}}\ntask {{\n name = \"edge\"\n module = {module:?}\n \
         condition \"services\" {{\n names = [\"api\"]\n }}\n}}\n",
        consul.address()
    );
    for number in 0..3 {
        site[number].env.push(("CHECKPOINT_DISABLE".to_owned(), "1".to_owned()));
    }
    let mut registered = 0;
    let mut register = |count: usize| {
        for _ in 0..count {
            registered += 1;
            consul.register("api", &format!("api-{registered}"), "10.0.0.1");
            std::thread::sleep(Duration::from_millis(60));
        }
        registered
    };
    register(1);
    site.found();
    applied(&site, 0, &record, 1);

    // The leader dies in the middle of it.
    let mut cut = Vec::new();
    std::thread::scope(|scope| {
        let registering = scope.spawn(|| register(30));
        until("some are applied", || ends(&record).last().is_some_and(|count| *count > 4));
        cut.push(kill(&mut site, 0, &record));
        site.wait_leader(1, &[1, 2]);
        registering.join().unwrap();
    });
    applied(&site, 1, &record, 31);

    // It comes back and leads again; then Consul stands still, and meanwhile it dies again.
    site.start(0);
    site.wait_leader(0, &[0, 1, 2]);
    register(3);
    applied(&site, 0, &record, 34);
    consul.pause();
    cut.push(kill(&mut site, 0, &record));
    site.wait_leader(1, &[1, 2]);
    let before = std::fs::read_to_string(&record).unwrap();
    until("the next leader waits for Consul", || {
        let tasks: serde_json::Value = site[1].get("/v1/cluster/tasks").unwrap().json();
        tasks["tasks"][0]["activity"]["state"] == "waiting"
    });
    assert_eq!(std::fs::read_to_string(&record).unwrap(), before, "nothing is done on nothing");
    consul.resume();
    let all = register(5);
    applied(&site, 1, &record, all);
    check(&record, &cut);
    site.end();
}

/// Until a leader has applied so many instances; they are all in the variables that it rendered.
fn applied(site: &Site, leader: usize, record: &Path, count: usize) {
    until("all instances are applied", || ends(record).last() == Some(&count));
    until("its run is told", || {
        let tasks: Option<serde_json::Value> = site[leader].get("/v1/cluster/tasks").map(|answer| answer.json());
        tasks.is_some_and(|tasks| tasks["tasks"][0]["activity"]["state"] == "idle")
    });
    let text = std::fs::read_to_string(site[leader].dir.join("tasks/edge/terraform.tfvars")).unwrap();
    let missing = (1..=count).find(|number| !text.contains(&format!("\"api-{number}.n1.dc1\" = {{")));
    assert_eq!(missing, None, "{text}");
}

/// Process, word and argument of each line.
fn lines(record: &Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(record).unwrap_or_default();
    let parts = text.lines().map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default())
    });
    parts.collect()
}

/// How many instances there were at the end of each run.
fn ends(record: &Path) -> Vec<usize> {
    lines(record).into_iter().filter(|line| line.1 == "end").map(|line| line.2.parse().unwrap()).collect()
}

/// SIGKILL to an agent. The run that it may cut off: one that has done all its work and has not saved that it did.
fn kill(site: &mut Site, agent: usize, record: &Path) -> String {
    let newest = lines(record).last().unwrap().0.clone();
    site[agent].kill();
    lines(record).iter().map(|line| &line.0).skip_while(|run| **run != newest).last().unwrap().clone()
}

/// No two runs at once, none for what is applied, and nothing made twice but what a run made that was `cut` off.
fn check(record: &Path, cut: &[String]) {
    let lines = lines(record);
    let mut runs: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
    runs.dedup();
    assert_eq!(runs.len(), runs.iter().collect::<BTreeSet<_>>().len(), "runs overlap: {lines:?}");
    let whole: Vec<_> = lines.into_iter().filter(|line| !cut.contains(&line.0)).collect();
    let ends: Vec<usize> = whole.iter().filter(|line| line.1 == "end").map(|line| line.2.parse().unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "a run for what is applied: {ends:?}");
    let begun = whole.iter().filter(|line| line.1 == "begin").count();
    assert_eq!(begun, ends.len(), "each came to its end: {whole:?}");
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for line in whole.iter().filter(|line| line.1 == "make") {
        *made.entry(&line.2).or_default() += 1;
    }
    assert!(made.values().all(|times| *times == 1), "{whole:?}");
}
