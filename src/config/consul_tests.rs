//! What asks Consul and Vault, and how a task that fails is treated.

use std::time::Duration;

use super::*;
use crate::task::consul_data::{KvQuery, Query};
use crate::task::spec::{Condition, Guards, ModuleInput, Park, Services};

fn with(text: &str, env: &[(&str, &str)]) -> Settings {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load_text("test.hcl", text, &Overrides::default(), &env, "host", Path::new("/srv"))
        .unwrap_or_else(|report| panic!("{report}"))
}

fn task(inner: &str) -> String {
    format!("task {{\n name = \"t\"\n module = \"registry/fw\"\n {inner}\n}}\n")
}

fn errors(text: &str) -> String {
    load_text("test.hcl", text, &Overrides::default(), &BTreeMap::new(), "host", Path::new("/srv"))
        .expect_err("refused")
        .to_string()
}

#[test]
fn consul_is_there_when_something_asks_it() {
    assert_eq!(with("", &[]).consul, None);
    assert_eq!(with(&task(""), &[("CONSUL_HTTP_ADDR", "x:1")]).consul, None);
    for text in [
        "consul {}".to_owned(),
        task("condition \"consul-kv\" { path = \"a\" }"),
        task("module_input \"services\" { names = [\"web\"] }"),
        task("services = [\"web\"]"),
        "driver \"terraform\" { backend \"consul\" {} }".to_owned(),
        "terraform_provider \"a\" { p = { q = [\"{{ key \\\"x\\\" }}\"] } }".to_owned(),
    ] {
        assert_eq!(with(&text, &[]).consul.expect("asked").address, "localhost:8500", "{text}");
    }
}

#[test]
fn the_environment_fills_in_what_the_block_leaves_out() {
    let env = [
        ("CONSUL_HTTP_ADDR", "https://env:8501"),
        ("CONSUL_TOKEN", "t1"),
        ("CONSUL_HTTP_TOKEN", "t2"),
        ("CONSUL_HTTP_AUTH", "me:pa:ss"),
        ("CONSUL_CACERT", "ca.pem"),
        ("CONSUL_NAMESPACE", "ns"),
    ];
    let consul = with("consul {}", &env).consul.expect("a block");
    assert_eq!((consul.address.as_str(), consul.token.as_str()), ("https://env:8501", "t1"));
    assert_eq!(consul.auth, Some(("me".to_owned(), "pa:ss".to_owned())));
    assert_eq!(consul.namespace, "ns");
    assert_eq!(consul.tls.expect("by the scheme").ca_cert.as_deref(), Some(Path::new("/srv/ca.pem")));

    let text = "consul { address = \"own:1\" token = \"own\" kv_path = \"q/\" auth { username = \"u\" }
        tls { verify = false } transport { max_idle_conns = 3 dial_timeout = \"1s\" }
        service_registration { service_name = \"cts\" default_check { enabled = false } } }";
    let consul = with(text, &env).consul.expect("a block");
    assert_eq!((consul.address.as_str(), consul.token.as_str(), consul.kv_path.as_str()), ("own:1", "own", "q/"));
    assert_eq!(consul.auth, Some(("u".to_owned(), String::new())));
    assert!(!consul.tls.expect("a field is set").verify);
    assert_eq!((consul.transport.max_idle_conns, consul.transport.dial_timeout), (3, Duration::from_secs(1)));
    assert_eq!(consul.transport.max_idle_conns_per_host, 100);
    let registration = consul.registration.expect("on");
    assert_eq!((registration.service_name.as_str(), registration.default_check), ("cts", false));

    let plain = with("consul {}", &[("CONSUL_CACERT", "ca.pem")]).consul.expect("a block");
    assert_eq!(plain.tls, None, "an authority of the environment alone does not turn TLS on");
    let off = with("consul { tls { enabled = false ca_cert = \"x\" } service_registration { enabled = false } }", &[]);
    let off = off.consul.expect("a block");
    assert_eq!((off.tls, off.registration), (None, None));
    assert!(!format!("{:?}", with(text, &env)).contains("\"own\""), "the token is never shown");
}

#[test]
fn vault_is_there_when_its_address_is_known() {
    assert_eq!(with("vault {}", &[]).vault, None);
    let env = [("VAULT_ADDR", "https://v:8200"), ("VAULT_TOKEN", "vt"), ("VAULT_SKIP_VERIFY", "true")];
    let vault = with("", &env).vault.expect("by the environment");
    assert_eq!((vault.address.as_str(), vault.token.as_str(), vault.tls.verify), ("https://v:8200", "vt", false));
    assert_eq!(with("vault { enabled = false }", &env).vault, None);
    assert!(errors("vault { enabled = true }").contains("has no `address`"));
    assert!(
        errors("vault { address = \"http://v\" vault_agent_token_file = \"/no/such\" }").contains("cannot be read")
    );
}

#[test]
fn conditions_and_inputs_ask_what_they_say() {
    let text = task(
        "condition \"services\" { regexp = \"^web\" datacenter = \"dc2\" filter = \"f\" source_includes_var = false }
         module_input \"consul-kv\" { path = \"/fw/mode\" recurse = true namespace = \"ns\" }",
    );
    let settings = with(&text, &[]);
    let [task_] = settings.tasks.as_slice() else { panic!("one task") };
    let Condition::Services { services: Services::Regexp { query, .. }, use_as_module_input: false } = &task_.condition
    else {
        panic!("{:?}", task_.condition)
    };
    assert_eq!((query.regexp.as_str(), query.datacenter.as_str(), query.filter.as_str()), ("^web", "dc2", "f"));
    let kv = KvQuery { path: "fw/mode".to_owned(), recurse: true, namespace: "ns".to_owned(), ..KvQuery::default() };
    assert_eq!(task_.inputs, [ModuleInput::ConsulKv(kv.clone())]);
    assert_eq!(task_.queries(), [Query::Services(query.clone()), Query::Kv(kv)]);
    let old = settings.warnings.iter().filter(|warning| warning.message.contains("is the old name of"));
    assert_eq!(old.count(), 1, "{:?}", settings.warnings);
}

#[test]
fn the_deprecated_list_takes_options_from_service_blocks() {
    let block = "service { id = \"w\" name = \"web\" filter = \"f\" cts_user_defined_meta { a = \"b\" } }\n";
    let settings = with(&(task("services = [\"w\", \"api\"]") + block), &[]);
    let Condition::Services { services: Services::Names(names), use_as_module_input: true } =
        &settings.tasks[0].condition
    else {
        panic!("the condition")
    };
    assert_eq!((names[0].query.name.as_str(), names[0].query.filter.as_str()), ("web", "f"));
    assert_eq!(names[0].meta["a"], "b");
    assert_eq!((names[1].query.name.as_str(), names[1].query.filter.as_str()), ("api", ""));
    let text = task("services = [\"w\"]\n condition \"schedule\" { cron = \"@daily\" }") + block;
    assert!(matches!(with(&text, &[]).tasks[0].inputs.as_slice(), [ModuleInput::Services(_)]));
}

#[test]
fn a_policy_changes_retries_and_parks() {
    let s = Duration::from_secs;
    let settings = with(
        &("max_parallel = 3\n".to_owned()
            + &task(
                "condition \"services\" { names = [\"web\"] } min_instances = 2 max_change_percent = 40
                 policy { retries = 5 base = \"2s\" park_after = 3 park_base = \"30s\" }",
            )),
        &[],
    );
    let spec = &settings.tasks[0];
    assert_eq!((spec.retry.retries, spec.retry.base, spec.retry.cap), (5, s(2), s(900)));
    assert_eq!(spec.park, Some(Park { after: 3, base: s(30), cap: s(3600) }));
    assert_eq!(spec.guards, Guards { min_instances: Some(2), max_change_percent: Some(40) });
    assert_eq!((settings.max_parallel, with("", &[]).max_parallel), (3, 8));
    assert!(errors(&task("max_change_percent = 101")).contains("from 1 to 100"));
    let cluster = |more: &str| with(&format!("high_availability {{ cluster {{ {more} gossip {{}} }} }}"), &[]).cluster;
    assert!(cluster("take_over = \"all\"").expect("a cluster").take_over_all);
    assert!(!cluster("").expect("a cluster").take_over_all);
}
