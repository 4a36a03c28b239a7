//! A browser without a window: chromedriver's part of the WebDriver protocol, as far as these tests need it.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::eventually;
use crate::ports::free_port;

/// Longer than a browser takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Ends a line of a form.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";

/// A browser with one tab, ended with this.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    base: String,
    session: String,
    client: ureq::Agent,
    profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let mut command = Command::new(&program);
        command.args([format!("--port={port}"), "--silent".to_owned()]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().unwrap_or_else(|error| panic!("{program}: {error} (package chromium-driver)"));
        let client = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let client = client.timeout_global(Some(PATIENCE)).build().new_agent();
        let profile = tempfile::Builder::new().prefix("quorate-ui-").tempdir().unwrap();
        let base = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let mut browser = Self { driver, base, session: String::new(), client, profile };
        eventually("chromedriver is ready", || {
            browser.try_send("GET", "/status", None).is_some_and(|status| status["ready"] == true)
        });
        let mut args = vec![format!("--user-data-dir={}", browser.profile.path().display())];
        let fixed = [
            "--headless=new",
            // Root, and containers, have no sandbox; the only page is ours.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-proxy-server",
            "--no-first-run",
            "--window-size=1280,900",
        ];
        args.extend(fixed.map(str::to_owned));
        let made = browser.send(
            "POST",
            "/session",
            Some(json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"args": args},
            }}})),
        );
        let session = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        session.clone_into(&mut browser.session);
        // What it asked its own new tab for is no page of ours.
        browser.go("about:blank");
        browser.requests();
        browser
    }

    /// The value of an answer. `None`: nobody answers.
    fn try_send(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        let mut answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.client.run(request.body(body.to_string()).unwrap()).ok()?
            }
            None => self.client.run(request.body(()).unwrap()).ok()?,
        };
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        Some(answer["value"].clone())
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let value = self.try_send(method, path, body).unwrap_or_else(|| panic!("chromedriver answers {method} {path}"));
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.ask("POST", "/url", Some(json!({"url": url})));
    }

    pub(crate) fn url(&self) -> String {
        self.ask("GET", "/url", None).as_str().unwrap().to_owned()
    }

    /// What the body of a function returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", Some(json!({"script": script, "args": []})))
    }

    /// What can be read on the page.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(&format!("the page says {text:?}"), |page| page.contains(text));
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let seen = std::cell::RefCell::new(String::new());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || {
                *seen.borrow_mut() = self.text();
                holds(&seen.borrow())
            });
        }));
        if let Err(panic) = outcome {
            eprintln!("---- the page at {}\n{}\n---- {:?}", self.url(), seen.borrow(), self.errors());
            std::panic::resume_unwind(panic);
        }
    }

    /// The element that a selector finds first; it may come a moment later.
    #[track_caller]
    fn find(&self, selector: &str) -> String {
        let mut found = None;
        eventually(&format!("there is {selector}"), || {
            let body = json!({"using": "css selector", "value": selector});
            let answer = self.try_send("POST", &format!("/session/{}/element", self.session), Some(body));
            let fields = answer.and_then(|it| it.as_object().cloned()).unwrap_or_default();
            found = fields
                .iter()
                .find(|(name, _)| name.starts_with("element-"))
                .map(|(_, id)| id.as_str().unwrap().to_owned());
            found.is_some()
        });
        found.unwrap()
    }

    /// Clicks as a person does: what is covered or outside cannot be clicked. What is redrawn meanwhile is looked for again.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        eventually(&format!("{selector} is clicked"), || {
            let path = format!("/session/{}/element/{}/click", self.session, self.find(selector));
            self.try_send("POST", &path, Some(json!({}))).is_some_and(|answer| answer.is_null())
        });
    }

    /// Presses the last button with this text; it may come a moment later.
    #[track_caller]
    pub(crate) fn press(&self, button: &str) {
        let script = format!(
            "const found = [...document.querySelectorAll('button')].reverse().find((it) => it.textContent === {button:?} && \
             !it.disabled); if (found) found.click(); return Boolean(found)"
        );
        eventually(&format!("there is a button {button}"), || self.run(&script) == true);
    }

    /// Types into an element.
    #[track_caller]
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.ask("POST", &format!("/element/{element}/value"), Some(json!({"text": text})));
    }

    /// Types where the focus is.
    #[track_caller]
    pub(crate) fn keys(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.ask("POST", "/actions", Some(json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]})));
    }

    fn command(&self, name: &str, params: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", Some(json!({"cmd": name, "params": params})))
    }

    /// As wide as a screen is.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let is_phone = width < 700;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    pub(crate) fn is_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", &feature);
    }

    /// The page as a PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let text = self.ask("GET", "/screenshot", None);
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    }

    /// What the console has heard since the last time: errors, policies that were broken, requests that failed.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", Some(json!({"type": "browser"})));
        let entries =
            log.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// Where the page has sent requests since the last time.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", Some(json!({"type": "performance"})));
        let of = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let sent = message["message"]["method"] == "Network.requestWillBeSent";
            let url = message["message"]["params"]["request"]["url"].as_str()?;
            sent.then(|| url.to_owned())
        };
        log.as_array().unwrap().iter().filter_map(of).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.try_send("DELETE", &format!("/session/{}", self.session), None);
        }
        // What it has left of the browser goes with it.
        if let Err(error) = kill_process_group(Pid::from_child(&self.driver), Signal::KILL) {
            eprintln!("chromedriver is not ended: {error}");
        }
        drop(self.driver.wait());
    }
}
