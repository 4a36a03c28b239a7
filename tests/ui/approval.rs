//! A plan that waits for a person, on the page, with a real Terraform. Needs `terraform` or `tofu` on the PATH.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::browser::Browser;
use crate::harness::{Site, eventually};
use crate::site::{open_gate, page, site};

fn write(module: &Path, resources: &[&str]) {
    let mut text = "variable \"services\" {}\n".to_owned();
    for name in resources {
        writeln!(text, "resource \"terraform_data\" \"{name}\" {{ input = \"<b>{name}</b>\" }}").unwrap();
    }
    std::fs::write(module.join("main.tf"), text).unwrap();
}

fn task(site: &Site) -> Value {
    let (_, body) = site.call(0, "GET", "/v1/cluster/tasks?task=net", None);
    body["tasks"][0].clone()
}

#[test]
fn a_plan_is_read_and_approved_or_rejected() {
    let module = tempfile::tempdir().unwrap();
    write(module.path(), &["one"]);
    let net = format!(
        "driver \"terraform\" {{}}\ntask {{\n  name = \"net\"\n  module = \"{}\"\n  approval = \"always\"\n}}\n",
        module.path().display()
    );
    let site = site(1, &net);
    open_gate(&site);
    let browser = Browser::start();
    browser.go(&page(&site, 0, "tasks?show=plan"));
    browser.wait_for("plan +1 ~0 -0 to approve");
    browser.click("tbody a");
    browser.wait_for("A plan waits for you");
    browser.wait_for("Plan: 1 to add, 0 to change, 0 to destroy.");
    browser.press("Approve");
    browser.wait_for("1 to add, 0 to change, 0 to destroy. Exactly this plan is applied, or none.");
    browser.press("Apply it");
    eventually("it is applied", || task(&site)["events"][0]["outcome"] == "success");
    browser.wait("nothing waits", |page| !page.contains("A plan waits for you") && page.contains("success"));

    // What a run would change, without one.
    write(module.path(), &["one", "two"]);
    browser.press("Inspect");
    browser.press("Inspect it");
    browser.wait_for("A run of net would change this");
    browser.wait_for("terraform_data.two");
    browser.press("Close");
    browser.press("Run now");
    browser.press("Run it");
    browser.wait("the next plan waits", |page| {
        page.contains("A plan waits for you") && page.contains("terraform_data.two")
    });
    browser.press("Reject");
    browser.press("Reject it");
    browser
        .wait("it is rejected", |page| page.contains("The plan is rejected") && !page.contains("A plan waits for you"));
    assert_eq!(task(&site)["plan"]["decision"]["approved"], false);
    assert_eq!(browser.errors(), Vec::<String>::new());
}
