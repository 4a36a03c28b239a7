//! The metrics, as far as faces show and count them.

use std::time::Duration;

/// Renders the metrics of the process as Prometheus text.
pub trait MetricsText: std::fmt::Debug + Send + Sync {
    /// The text, OpenMetrics.
    fn text(&self) -> String;

    /// The same in the older text format of Prometheus.
    fn classic_text(&self) -> String {
        self.text()
    }

    /// The certificate that the API shows ends then: seconds since 1970.
    fn api_certificate(&self, ends: i64) {
        let _ = ends;
    }

    /// What is left of the lease of this agent; `None`: it has none.
    fn lease_left(&self) -> Option<Duration> {
        None
    }

    /// Counts an answered request: `endpoint` is a pattern such as `/v1/status/tasks/{name}`, not what was sent.
    fn http_request(&self, endpoint: &'static str, status: u16) {
        let _ = (endpoint, status);
    }

    /// A line of the audit trail is written.
    fn audit_written(&self) {}

    /// A sink of the audit trail did not take a line.
    fn audit_failed(&self, sink: &'static str) {
        let _ = sink;
    }

    /// No sink of the audit trail took a line.
    fn audit_lost(&self) {}

    /// A refusal has no line of its own in the audit trail.
    fn audit_counted(&self) {}

    /// So many connections of the API more, or less.
    fn http_connections(&self, more: i64) {
        let _ = more;
    }

    /// A connection was not taken; `reason` is a short fixed word.
    fn http_connection_refused(&self, reason: &'static str) {
        let _ = reason;
    }

    /// A connection was ended by this agent before its client ended it; `reason` is a short fixed word.
    fn http_connection_ended(&self, reason: &'static str) {
        let _ = reason;
    }
}
