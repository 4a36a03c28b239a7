//! `terraform.tfvars.tmpl`: the queries of a task in the notation of CTS (`reference/cts.md` 3.5).
//!
//! Operators read it to see what is asked of Consul. Nothing evaluates it.

use super::rendered::sorted;
use crate::task::consul_data::{CatalogQuery, KvQuery};
use crate::task::run_data::{Part, Subject, parts};
use crate::task::spec::{Services, TaskSpec};

/// The parts of `terraform.tfvars`, each with its query in place of its data.
pub(super) fn text(task: &TaskSpec) -> String {
    let parts = parts(task);
    let mut out: Vec<String> = parts.iter().map(part).collect();
    if !parts.iter().any(|part| part.rendered && part.subject.variable() == "services") {
        out.push("services = {\n}\n".to_owned());
    }
    out.join("\n")
}

fn part(part: &Part<'_>) -> String {
    let calls: String = match part.subject {
        Subject::Services(Services::Names(names)) => sorted(names)
            .into_iter()
            .map(|it| {
                let words = options(&[&it.query.name], &it.query.datacenter, &it.query.namespace, &it.query.filter);
                instances(&format!("service {words}"), part.rendered)
            })
            .collect(),
        Subject::Services(Services::Regexp { query, .. }) => {
            let regexp = format!("regexp={}", query.regexp);
            let words = options(&[&regexp], &query.datacenter, &query.namespace, &query.filter);
            instances(&format!("servicesRegex {words}"), part.rendered)
        }
        Subject::Catalog(query) => catalog(query, part.rendered),
        Subject::Kv(query) => keys(query, part.rendered),
        Subject::Members => {
            let body = "  \"{{ .ID }}\" = {\n{{ HCLMember $member | indent 4 }}\n  },\n";
            range("members := members", "member := $members", body, part.rendered)
        }
    };
    if part.rendered { format!("{} = {{\n{calls}}}\n", part.subject.variable()) } else { calls }
}

fn instances(call: &str, rendered: bool) -> String {
    let key = "{{ joinStrings \".\" .ID .Node .Namespace .NodeDatacenter }}";
    let body = format!("  \"{key}\" = {{\n{{{{ HCLService $s | indent 4 }}}}\n  }},\n");
    range(&format!("srv := {call}"), "s := $srv", &body, rendered)
}

fn catalog(query: &CatalogQuery, rendered: bool) -> String {
    let regexp = format!("regexp={}", query.regexp);
    let node_meta: Vec<String> =
        query.node_meta.iter().map(|(key, value)| format!("node-meta={key}:{value}")).collect();
    let first: &[&str] = if query.regexp.is_empty() { &[] } else { &[&regexp] };
    let mut words = options(first, &query.datacenter, &query.namespace, "");
    for word in &node_meta {
        words = format!("{words} {}", quoted(word));
    }
    let call = format!("catalogServices := catalogServicesRegistration {}", words.trim());
    range(call.trim_end(), "cs := $catalogServices", "  \"{{ $cs.Name }}\" = {{ HCLServiceTags $cs.Tags }}\n", rendered)
}

fn keys(query: &KvQuery, rendered: bool) -> String {
    let words = options(&[&query.path], &query.datacenter, &query.namespace, "");
    let pair = "  \"{{ .Path }}\" = \"{{ .Value }}\"\n";
    if query.recurse {
        return range(&format!("kv := keys {words}"), "k := $kv", pair, rendered);
    }
    let body = if rendered { format!("  {{{{- if .Exists }}}}\n{pair}  {{{{- end }}}}\n") } else { EMPTY.to_owned() };
    format!("{{{{- with $kv := keyExistsGet {words} }}}}\n{body}{{{{- end }}}}\n")
}

/// What stands for the body of a query that is watched and not rendered.
const EMPTY: &str = "  {{- /* watched, not rendered */ -}}\n";

fn range(with: &str, over: &str, body: &str, rendered: bool) -> String {
    let body = if rendered { body } else { EMPTY };
    format!("{{{{- with ${with} }}}}\n  {{{{- range ${over} }}}}\n{body}  {{{{- end }}}}\n{{{{- end }}}}\n")
}

/// The words of a call; empty options are left out.
fn options(first: &[&str], datacenter: &str, namespace: &str, filter: &str) -> String {
    let mut words: Vec<String> = first.iter().map(|word| quoted(word)).collect();
    if !datacenter.is_empty() {
        words.push(quoted(&format!("dc={datacenter}")));
    }
    if !namespace.is_empty() {
        words.push(quoted(&format!("ns={namespace}")));
    }
    let filter = filter.trim_matches('\n');
    if !filter.is_empty() {
        words.push(quoted(filter));
    }
    words.join(" ")
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::task::consul_data::ServiceQuery;
    use crate::task::run_data::Part;
    use crate::task::spec::NamedService;

    #[test]
    fn services_have_a_call_each_with_the_options_that_are_set() {
        let query = |name: &str, filter: &str| ServiceQuery {
            name: name.to_owned(),
            datacenter: "dc1".to_owned(),
            filter: filter.to_owned(),
            ..ServiceQuery::default()
        };
        let named = |query| NamedService { query, meta: BTreeMap::new() };
        let names = Services::Names(vec![named(query("web", "\"a\" in Service.Tags\n")), named(query("api", ""))]);
        check(
            Subject::Services(&names),
            true,
            r#"services = {
{{- with $srv := service "api" "dc=dc1" }}
  {{- range $s := $srv }}
  "{{ joinStrings "." .ID .Node .Namespace .NodeDatacenter }}" = {
{{ HCLService $s | indent 4 }}
  },
  {{- end }}
{{- end }}
{{- with $srv := service "web" "dc=dc1" "\"a\" in Service.Tags" }}
  {{- range $s := $srv }}
  "{{ joinStrings "." .ID .Node .Namespace .NodeDatacenter }}" = {
{{ HCLService $s | indent 4 }}
  },
  {{- end }}
{{- end }}
}
"#,
        );
    }

    #[test]
    fn what_is_only_watched_has_its_query_and_no_body() {
        let kv = KvQuery { path: "a/b".to_owned(), recurse: true, namespace: "n".to_owned(), ..KvQuery::default() };
        let expected = "{{- with $kv := keys \"a/b\" \"ns=n\" }}\n  {{- range $k := $kv }}\n  {{- /* watched, not \
                        rendered */ -}}\n  {{- end }}\n{{- end }}\n";
        check(Subject::Kv(&kv), false, expected);
    }

    #[test]
    fn the_other_queries_name_their_own_options() {
        let single = KvQuery { path: "a".to_owned(), ..KvQuery::default() };
        let pair = "  {{- if .Exists }}\n  \"{{ .Path }}\" = \"{{ .Value }}\"\n  {{- end }}\n";
        let expected = format!("consul_kv = {{\n{{{{- with $kv := keyExistsGet \"a\" }}}}\n{pair}{{{{- end }}}}\n}}\n");
        check(Subject::Kv(&single), true, &expected);
        let node_meta = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let query = CatalogQuery { regexp: "^w".to_owned(), node_meta, ..CatalogQuery::default() };
        let text = part(&Part { subject: Subject::Catalog(&query), rendered: true });
        let call = "catalogServicesRegistration \"regexp=^w\" \"node-meta=k:v\" }}";
        assert!(text.starts_with("catalog_services = {\n") && text.contains(call), "{text}");
    }

    fn check(subject: Subject<'_>, rendered: bool, expected: &str) {
        assert_eq!(part(&Part { subject, rendered }), expected);
    }
}
