//! Every page: it says what it should, breaks no policy, asks nobody else, and fits on a phone.

use crate::browser::{Browser, ENTER, TAB};
use crate::harness::eventually;
use crate::site::{assert_quiet, open_gate, page, push_state, run_of, site};

#[test]
fn every_page_opens_without_an_error_and_fits_on_a_phone() {
    let site = site(3, "");
    push_state(&site, 1, "small", "swordfish-1");
    push_state(&site, 2, "large", "swordfish-2");
    let (talk, fails) = (run_of(&site, None, "talk"), run_of(&site, None, "fails"));
    let browser = Browser::start();
    let ours = [format!("http://{}/", site.addr(1))];

    // A browser that opens the address of an agent gets to the page.
    browser.go(&format!("http://{}/", site.addr(1)));
    browser.wait_for("Who led");
    assert!(browser.url().contains("/ui/"), "{}", browser.url());
    assert_quiet(&browser, &ours);

    let routes = [
        ("cluster", "lowest id alive"),
        ("tasks", "3 of 3 tasks, told by a1"),
        ("tasks/talk", "Says what it does"),
        ("tasks/fails", "exit code 3"),
        ("runs", "told by a1"),
        (&format!("runs/{talk}"), "first green line"),
        (&format!("runs/{fails}"), "<b id=bold>oops</b>"),
        ("state", "a person, through a1"),
        ("state/idle", "Show what differs"),
    ];
    for (width, height) in [(1280, 900), (360, 740)] {
        browser.resize(width, height);
        for dark in [false, true] {
            browser.is_dark(dark);
            for (route, says) in routes {
                browser.go("about:blank");
                browser.go(&page(&site, 1, route));
                browser.wait_for(says);
                let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth");
                assert!(wide.as_i64().unwrap() <= 0, "{route} is {wide} pixels wider than a screen of {width}");
                let colours =
                    "const of = getComputedStyle(document.documentElement); return of.backgroundColor + of.color";
                let shown = browser.run(colours);
                assert_eq!(shown.as_str().unwrap().starts_with("rgb(255, 255, 255)"), !dark, "{shown}");
                assert_eq!(browser.run("return document.querySelectorAll('#bold, main i').length"), 0, "data is text");
                assert_quiet(&browser, &ours);
            }
        }
    }
    open_gate(&site);
}

#[test]
fn tasks_are_found_switched_and_run_by_hand() {
    let site = site(1, "");
    open_gate(&site);
    let browser = Browser::start();
    browser.go(&page(&site, 0, "tasks"));
    browser.wait_for("3 of 3 tasks");
    browser.fill("#words", "fai");
    browser.wait_for("1 of 3 tasks");
    assert!(browser.url().ends_with("#/tasks?q=fai"), "a link to what was found: {}", browser.url());
    browser.click("tbody a");
    browser.wait_for("exit code 3");

    // By keyboard alone: the first tab leads past the head of the page.
    browser.keys(&[TAB]);
    assert!(browser.run("return document.activeElement !== document.body") == true);
    browser.run("document.getElementById('skip').focus()");
    browser.keys(&[ENTER]);
    assert_eq!(browser.run("return document.activeElement.id"), "main");

    browser.press("Disable");
    browser.wait_for("Disable fails?");
    browser.press("No, go back");
    browser.press("Disable");
    browser.press("Disable it");
    let flag = || site.call(0, "GET", "/v1/tasks/fails", None).1["task"]["enabled"].clone();
    eventually("it is disabled", || flag() == false);
    browser.press("Enable");
    browser.press("Enable it");
    eventually("it is enabled", || flag() == true);
    let runs = || site.call(0, "GET", "/v1/runs?task=fails", None).1["runs"].as_array().unwrap().len();
    let before = runs();
    browser.press("Run now");
    browser.press("Run it");
    eventually("it has run once more", || runs() > before);
    eventually("the page shows all of its runs", || {
        browser.run("return document.querySelectorAll('main tbody tr').length").as_u64()
            >= u64::try_from(before + 1).ok()
    });
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn what_differs_between_two_states_is_shown_without_secrets_and_one_is_restored() {
    let site = site(1, "");
    open_gate(&site);
    push_state(&site, 1, "small", "swordfish-1");
    push_state(&site, 2, "large", "swordfish-2");
    let browser = Browser::start();
    browser.go(&page(&site, 0, "state/idle"));
    browser.press("Show what differs");
    browser.wait_for("+ size = \"large\"");
    let shown = browser.text();
    assert!(shown.contains("- size = \"small\"") && shown.contains("wall.north changed"), "{shown}");
    assert!(shown.contains("login = (hidden)") && shown.contains("api_token = (hidden)"), "{shown}");
    assert!(!browser.run("return document.documentElement.outerHTML").to_string().contains("swordfish"));
    browser.press("Restore");
    browser.press("Restore it");
    browser.wait("version 3 is current", |page| page.contains("3 current"));
    let (_, state) = site.call(0, "GET", "/v1/cluster/state/idle", None);
    assert_eq!(state["resources"][0]["instances"][0]["attributes"]["size"], "small");
    assert_eq!(browser.errors(), Vec::<String>::new());
}
