//! The weak typing of CTS: what it takes is taken, and said; what it refuses is refused.

use std::time::Duration;

use super::tests::{bad, good};
use super::*;
use crate::task::spec::{Condition, Services};

fn at(name: &str, text: &str) -> Result<Settings, Report> {
    load_text(name, text, &Overrides::default(), &BTreeMap::new(), "host", Path::new("/srv"))
}

/// The warnings of a text that is taken.
fn said(name: &str, text: &str) -> Vec<String> {
    at(name, text)
        .unwrap_or_else(|report| panic!("{text}: {report}"))
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn task(inner: &str) -> String {
    format!(
        "high_availability {{ cluster {{ gossip {{}} }} }}\ntask {{\n name = \"t\"\n command = [\"true\"]\n {inner}\n}}\n"
    )
}

#[test]
fn a_value_of_another_type_is_taken_and_said() {
    let members = "condition \"members\" {}";
    for (text, words) in [
        (
            task("condition \"services\" { regexp = [\"web\"] }"),
            "`regexp` must be a string, found a list: its only item",
        ),
        (
            task("condition \"services\" { names = \"web\" }"),
            "`names` must be a list, found a string: it is read as a list of one",
        ),
        (
            task(&format!("enabled = \"true\"\n {members}")),
            "`enabled` must be true or false, found a string: it is read as true",
        ),
        (
            task(&format!("enabled = 1\n {members}")),
            "`enabled` must be true or false, found a number: it is read as true",
        ),
        (task(&format!("enabled = [\"false\"]\n {members}")), "it is read as false"),
        (
            task(&format!("description = 7\n {members}")),
            "`description` must be a string, found a number: its digits are taken",
        ),
        (
            task(&format!("description = true\n {members}")),
            "`description` must be a string, found true or false: true is read as \"1\"",
        ),
        (task(&format!("description = []\n {members}")), "`description` is an empty list: it counts as not given"),
        (
            "port = \"0x10\"".to_owned(),
            "`port` must be a whole number from 0 to 65535, found a string: it is read as 16",
        ),
        ("port = 8558.9".to_owned(), "found a number: it is read as 8558"),
        ("buffer_period { min = 5 }".to_owned(), "`min` has no unit: 5 means 5 nanoseconds"),
        ("port = 1\nport = 2".to_owned(), "`port` is given twice: the last one counts"),
    ] {
        let found = said("test.hcl", &text);
        assert!(found.iter().any(|line| line.contains(words)), "{text}\n{words}\n{found:#?}");
    }
    let settings = good("port = 1\nport = [\"8600\"]\nid = 12\nbuffer_period { min = [5] }");
    assert_eq!((settings.http_addr.to_string(), settings.id.as_str()), ("127.0.0.1:8600".to_owned(), "12"));
    assert_eq!(settings.objects.buffer.unwrap().min, Duration::from_nanos(5));
    // What is of its type is not talked about, and neither is the command line.
    assert_eq!(said("test.hcl", "port = 8600\nbuffer_period { enabled = true min = \"5s\" }"), [""; 0]);
}

#[test]
fn what_is_meant_is_what_runs() {
    let settings =
        good(&task("condition \"services\" { regexp = [\"web\"] cts_user_defined_meta { a = 1 b = true c = 1.50 } }"));
    let Condition::Services { services: Services::Regexp { query, meta }, .. } = &settings.tasks[0].condition else {
        panic!("{:?}", settings.tasks[0].condition)
    };
    assert_eq!(query.regexp, "web");
    let meta: Vec<_> = meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(meta, [("a", "1"), ("b", "1"), ("c", "1.5")]);
}

#[test]
fn a_key_that_comes_again_counts_last_in_json_whatever_it_holds() {
    let text = r#"{"port": 1, "port": "2", "buffer_period": {"min": "1s", "max": "9s"}, "buffer_period": {"min": "2s"},
        "consul": [{"address": "a:1"}]}"#;
    let settings = at("test.json", text).unwrap();
    assert_eq!((settings.http_addr.tcp().unwrap().port(), settings.consul.unwrap().address.as_str()), (2, "a:1"));
    let buffer = settings.objects.buffer.unwrap();
    assert_eq!((buffer.min, buffer.max), (Duration::from_secs(2), Duration::from_secs(8)));
    let found = said("test.json", text);
    assert_eq!(
        found.iter().filter(|line| line.contains("is given twice: the last one counts")).count(),
        2,
        "{found:?}"
    );

    // What is passed on to Terraform goes the same way; its blocks may be repeated.
    let text = "terraform_provider \"fw\" {\n host = \"a\"\n host = \"b\"\n tls { ca = 1 }\n tls { ca = 2 }\n}\n";
    let settings = good(text);
    let args = serde_json::Value::Object(settings.terraform.providers[0].args.clone()).to_string();
    assert_eq!(args, r#"{"host":"b","tls":[{"ca":1},{"ca":2}]}"#);
}

#[test]
fn what_cts_refuses_is_refused() {
    for (text, words) in [
        (
            "consul { address = \"a\" }\nconsul { address = \"b\" }".to_owned(),
            "only one 'consul' block can be configured",
        ),
        (task("condition \"services\" { regexp = [\"a\", \"b\"] }"), "`regexp` must be a string, found a list"),
        (task("enabled = \"maybe\""), "`enabled` must be true or false, found a string"),
        (task("description = { a = 1 }"), "`description` must be a string, found a block"),
        ("port = \"many\"".to_owned(), "`port` must be a whole number"),
        ("buffer_period { min = \"5\" }".to_owned(), "`min` has no unit"),
        ("port = -1".to_owned(), "`port` must be a whole number"),
    ] {
        let found = bad(&text);
        assert!(found.iter().any(|line| line.contains(words)), "{text}\n{words}\n{found:#?}");
    }
}
