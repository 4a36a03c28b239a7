//! Figures for people, and the same figures on one line for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Collects the lines for programs; they are printed at the end, so that the tables stay readable.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// One result: `{"bench": .., "commit": .., "load": .., <fields>}`.
    pub(crate) fn add(&mut self, bench: &str, fields: &Value) {
        let mut line = Map::new();
        line.insert("bench".to_owned(), json!(bench));
        line.insert("commit".to_owned(), json!(commit()));
        // Others may use this machine: what it was busy with belongs to the figure.
        line.insert("load".to_owned(), json!(load()));
        line.extend(fields.as_object().cloned().unwrap_or_default());
        self.lines.push(Value::Object(line).to_string());
    }

    /// Prints the lines.
    pub(crate) fn print(&self) {
        println!("\nThe same for programs:");
        self.lines.iter().for_each(|line| println!("{line}"));
    }
}

/// What a column of times says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) worst: f64,
}

impl Summary {
    /// By nearest rank: of fewer than 100 times the 99th percentile is the worst.
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self { count: sorted.len(), median: rank(50), p99: rank(99), worst: rank(100) }
    }

    /// For [`Report::add`].
    pub(crate) fn json(self) -> Value {
        json!({ "count": self.count, "median_s": round(self.median), "p99_s": round(self.p99), "worst_s": round(self.worst) })
    }
}

/// Both objects in one.
pub(crate) fn with(mut left: Value, right: &Value) -> Value {
    if let (Some(left), Some(right)) = (left.as_object_mut(), right.as_object()) {
        left.extend(right.clone());
    }
    left
}

/// To a tenth of a millisecond.
pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn commit() -> String {
    let output = std::process::Command::new("git").args(["rev-parse", "--short=11", "HEAD"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
