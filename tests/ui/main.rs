//! The web page in a real browser: Chromium, driven over WebDriver, on agents that are processes. Every page, what changes before
//! the reader's eyes, tokens, a phone, and a path prefix.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod approval;
mod browser;
#[path = "../access/harness.rs"]
#[expect(dead_code, reason = "shared with others that use all of it")]
mod harness;
mod live;
mod pages;
#[path = "../ports/mod.rs"]
mod ports;
mod prefix;
mod site;
mod token;
