//! What Consul says arrives in the module as it was said.

use quorate::task::consul_data::{CatalogQuery, Instance, KvQuery, RegexpQuery};
use quorate::task::spec::Services;

use super::*;

const HOSTILE: [&str; 7] = [
    "${file(\"/etc/passwd\")}",
    "%{ if true }x%{ endif }",
    "$${a} $$${b}",
    "\"quoted\" \\n",
    "line\nbreak",
    "<<EOF\nx\nEOF\n",
    "}\n\nmodule \"evil\" {}\n",
];

#[test]
fn services_of_a_regexp_reach_the_module_with_all_attributes() {
    let mut bench = Bench::new(
        "variable \"services\" {\n  type = map(object({ id = string, port = number, tags = list(string),\n    \
         meta = map(string), cts_user_defined_meta = map(string) }))\n}\n\
         resource \"terraform_data\" \"it\" { input = var.services }\n",
    );
    let query = RegexpQuery { regexp: "^web".to_owned(), ..RegexpQuery::default() };
    let map: BTreeMap<String, String> = HOSTILE.iter().map(|text| ((*text).to_owned(), (*text).to_owned())).collect();
    let services = Services::Regexp { query: query.clone(), meta: map.clone() };
    bench.condition = Condition::Services { services, use_as_module_input: true };
    let instance = |id: &str| Instance {
        id: id.to_owned(),
        port: 8080,
        tags: HOSTILE.iter().map(ToString::to_string).collect(),
        meta: map.clone(),
        node: "n".to_owned(),
        ..Instance::default()
    };
    let instances = HOSTILE.iter().map(|id| instance(id)).collect();
    bench.data = BTreeMap::from([(Query::Services(query), Arc::new(Data::Services(instances)))]);
    let run = bench.run();
    assert_eq!(run.result, Ok(()), "{}", run.printed());
    let kept = bench.kept();
    assert_eq!(kept.as_object().unwrap().len(), HOSTILE.len());
    let mut tags = HOSTILE;
    tags.sort_unstable();
    for id in HOSTILE {
        let found = &kept[format!("{id}.n")];
        assert_eq!((found["id"].as_str(), found["port"].as_u64()), (Some(id), Some(8080)));
        assert_eq!(found["tags"], serde_json::json!(tags));
        assert_eq!(found["meta"], serde_json::json!(map));
        assert_eq!(found["cts_user_defined_meta"], serde_json::json!(map));
    }
}

#[test]
fn catalog_and_keys_reach_the_module_whatever_is_in_them() {
    let mut bench = Bench::new(&format!(
        "{SERVICES}variable \"catalog_services\" {{ type = map(list(string)) }}\nvariable \"consul_kv\" {{ type = \
         map(string) }}\nresource \"terraform_data\" \"it\" {{ input = {{ c = var.catalog_services, k = \
         var.consul_kv }} }}\n"
    ));
    let (catalog, kv) = (CatalogQuery::default(), KvQuery { recurse: true, ..KvQuery::default() });
    bench.condition = Condition::CatalogServices { catalog: catalog.clone(), use_as_module_input: true };
    bench.inputs = vec![ModuleInput::ConsulKv(kv.clone())];
    let pairs: BTreeMap<String, String> =
        HOSTILE.iter().enumerate().map(|(n, text)| (format!("k/{n}/{text}"), (*text).to_owned())).collect();
    let names: BTreeMap<String, Vec<String>> =
        HOSTILE.iter().map(|text| ((*text).to_owned(), vec![(*text).to_owned()])).collect();
    bench.data = BTreeMap::from([
        (Query::Catalog(catalog), Arc::new(Data::Catalog(names.clone()))),
        (Query::Kv(kv), Arc::new(Data::Kv(pairs.clone()))),
    ]);
    let run = bench.run();
    assert_eq!(run.result, Ok(()), "{}", run.printed());
    assert_eq!(bench.kept(), serde_json::json!({"c": names, "k": pairs}));
}
