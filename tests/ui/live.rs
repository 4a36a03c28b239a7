//! What changes before the reader's eyes, without a reload.

use crate::browser::Browser;
use crate::site::{open_gate, page, run_of, site};

/// Gone when the page is loaded again.
const MARK: &str = "window.mark = 1";

#[test]
fn the_page_of_a_follower_sees_the_kill_of_the_leader() {
    let mut site = site(3, "");
    open_gate(&site);
    let browser = Browser::start();
    browser.go(&page(&site, 2, "cluster"));
    browser.wait("a1 leads", |page| page.contains("lowest id alive"));
    browser.run(MARK);
    let lead =
        "const row = document.querySelector('main tr.lead'); return row ? row.querySelector('th').innerText : ''";
    assert!(browser.run(lead).as_str().unwrap().contains("a1 leader"));
    site.kill(0);
    browser.wait("a2 leads, and why", |page| page.contains("a1 is down"));
    crate::harness::eventually("a2 is marked", || browser.run(lead).as_str().unwrap().contains("a2 leader"));
    browser.wait("the leader has told of it", |page| page.contains("a2 leads with epoch"));
    let ended = "return [...document.querySelectorAll('main tbody')].at(-1).rows.length";
    assert!(browser.run(ended).as_u64().unwrap() >= 2, "who led before stands there too");
    assert!(browser.run("return document.querySelectorAll('svg.strip rect').length").as_u64() >= Some(2));
    if let Some(file) = std::env::var_os("SCREENSHOT") {
        browser.resize(1000, 680);
        std::fs::write(file, browser.screenshot()).unwrap();
    }
    // Nobody is left to lead.
    site.kill(1);
    browser.wait("a3 says that it is cut off", |page| page.contains("a3 is cut off from the majority"));
    browser.run("location.hash = '#/tasks'");
    browser.wait("a3 says how old its copy is", |page| {
        page.contains("nobody has confirmed since") && page.contains("3 of 3 tasks, told by a3")
    });
    site.kill(2);
    browser.wait("the page says that it hears nothing", |page| page.contains("This agent does not answer."));
    assert_eq!(browser.run("return window.mark"), 1, "the page was not loaded again");
}

#[test]
fn a_log_appears_line_by_line_with_its_colours() {
    let site = site(3, "");
    let run = run_of(&site, None, "talk");
    let browser = Browser::start();
    browser.go(&page(&site, 1, &format!("runs/{run}")));
    browser.wait("the beginning is there", |page| page.contains("first green line") && page.contains("run "));
    browser.run(MARK);
    assert_eq!(browser.run("return document.querySelector('#log .f-green.bold').textContent"), "green");
    browser.wait("what is planned stands above", |page| page.contains("+3 ~1 -0"));
    let page_now = browser.text();
    assert!(page_now.contains("Cancel the run") && !page_now.contains("last line"), "{page_now}");
    open_gate(&site);
    browser.wait("the end follows", |page| page.contains("last line") && page.contains("The log is complete."));
    browser.wait("the run has ended", |page| page.contains("success") && !page.contains("Cancel the run"));
    assert!(browser.text().contains("a1"), "the agent that ran it");
    assert_eq!(browser.run("return window.mark"), 1, "the page was not loaded again");
    assert_eq!(browser.errors(), Vec::<String>::new());
}
