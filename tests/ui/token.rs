//! The page where nobody may see anything without a token.

use crate::browser::{Browser, ENTER};
use crate::harness::{Site, eventually, stdout};
use crate::site::{open_gate, page, site};

fn first(site: &Site) -> String {
    let output = site.admin(0, &["token", "create", "-role", "admin", "-json"]);
    assert!(output.status.success(), "{output:?}");
    let made: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    crate::harness::text(&made["secret"])
}

#[test]
fn a_token_is_asked_for_kept_in_the_tab_and_a_refusal_says_what_it_lacks() {
    let site = site(1, "access { default = \"deny\" }");
    open_gate(&site);
    let root = first(&site);
    let (reader, _) = site.create(0, &root, &["-role", "read"]);
    let (operator, _) = site.create(0, &root, &["-role", "operate", "-tasks", "idle"]);
    let browser = Browser::start();
    browser.go(&page(&site, 0, "tasks/idle"));
    browser.wait_for("Who are you?");
    browser.fill("#secret", &format!("{reader}{ENTER}"));
    browser.wait_for("Run now");
    browser.press("Run now");
    browser.press("Run it");
    browser.wait("the role is named that is missing", |page| {
        page.contains("Not allowed: this needs the role operate for the task idle; token ")
    });
    let kept = "return [Object.values(sessionStorage).join(), Object.values(localStorage).join(), document.cookie, location.href]";
    let kept = browser.run(kept);
    assert_eq!(kept[0], reader.as_str());
    assert!(!kept.as_array().unwrap()[1..].iter().any(|place| place.to_string().contains(&reader)), "{kept}");
    assert_eq!(browser.run("return document.documentElement.outerHTML.includes('qrt_')"), false);

    // One that may.
    browser.click("#token");
    browser.fill("#secret", &format!("{operator}{ENTER}"));
    browser.wait("the other token is used", |page| page.contains("Run now") && !page.contains("Not allowed"));
    let runs = || site.call(0, "GET", "/v1/runs?task=idle", Some(&root)).1["runs"].as_array().unwrap().len();
    let before = runs();
    browser.press("Run now");
    browser.press("Run it");
    eventually("idle has run", || runs() > before);
    browser.run("location.hash = '#/tasks'");
    browser.wait_for("1 of 1 tasks");

    // Events and logs come with it as well.
    let hears = "return document.getElementById('live').textContent";
    eventually("the page hears what happens", || browser.run(hears) == "live");
    browser.click("#token");
    browser.press("Forget the token");
    browser.wait_for("Who are you?");
    assert_eq!(browser.run("return sessionStorage.length"), 0);
}
