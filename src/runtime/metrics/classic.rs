//! The older text format of Prometheus (0.0.4), made from OpenMetrics: the samples are the same, the lines above them are not.
//!
//! `promtool check metrics` and collectors that do not know OpenMetrics read this one.

/// Its `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// In OpenMetrics a counter is described without the suffix that its samples have, here with it.
pub(super) fn text(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // It comes before the type, which decides the name.
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((described, text)) = help.take().filter(|(described, _)| *described == name) {
                push(&mut out, &["# HELP ", described, suffix, " ", text]);
            }
            push(&mut out, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with("# ") {
            push(&mut out, &[line]);
        }
    }
    out
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_get_their_suffix_and_the_end_goes() {
        let openmetrics = "# HELP a_b Help of it.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 1\n# HELP c Other.\n\
            # TYPE c gauge\n# UNIT c seconds\nc 0.5\n# EOF\n";
        let classic = "# HELP a_b_total Help of it.\n# TYPE a_b_total counter\na_b_total{x=\"# EOF\"} 1\n# HELP c Other.\n\
            # TYPE c gauge\nc 0.5\n";
        assert_eq!(text(openmetrics), classic);
    }
}
