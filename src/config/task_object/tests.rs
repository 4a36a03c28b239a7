use std::path::Path;

use serde_json::json;

use super::*;
use crate::task::spec::{ModuleInput, Services, Work};

fn context() -> ObjectContext {
    ObjectContext {
        buffer: Some(Buffer { min: Duration::from_secs(5), max: Duration::from_secs(20) }),
        working_dir: "/srv/sync-tasks".into(),
        cwd: "/srv".into(),
        in_cluster: true,
        terraform: terraform::Settings::default(),
    }
}

fn read(object: &Value) -> Result<TaskSpec, String> {
    from_object(object, &context())
}

fn wrong(object: &Value) -> String {
    read(object).expect_err("refused")
}

fn task(more: &Value) -> Value {
    let mut task = json!({"name": "t", "module": "./fw", "condition": {}});
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
    task
}

#[test]
fn what_is_not_said_has_the_defaults_of_a_file() {
    let spec = read(&task(&json!({}))).unwrap();
    assert!(spec.enabled);
    assert_eq!((spec.condition, spec.inputs.len()), (Condition::None, 0));
    assert_eq!((spec.buffer, spec.grace), (context().buffer, Duration::from_secs(30)));
    assert_eq!(spec.working_dir, Path::new("/srv/sync-tasks/t"));
    let Work::Terraform(work) = spec.work else { panic!("a module") };
    assert_eq!(work.module, "/srv/fw");
}

#[test]
fn every_kind_of_task_goes_round() {
    let services = json!({
        "names": ["web", "api"], "datacenter": "dc1", "namespace": "ns", "filter": "Service.Port == 80",
        "cts_user_defined_meta": {"a": "b"}
    });
    let mut condition = services.clone();
    condition["use_as_module_input"] = json!(false);
    let kv = json!({"path": "fw/mode", "recurse": true, "datacenter": "dc1", "namespace": ""});
    let all = [
        json!({"condition": {"services": condition}, "module_input": {"consul_kv": kv}}),
        json!({"condition": {"services": {"regexp": "^web.*"}}, "buffer_period": {"enabled": false}}),
        json!({"condition": {"catalog_services": {"regexp": "", "node_meta": {"rack": "r1"}}},
               "module_input": {"services": services, "members": {}}}),
        json!({"condition": {"consul_kv": kv}, "buffer_period": {"min": "10s"}, "enabled": false}),
        json!({"condition": {"schedule": {"cron": "*/5 * * * *"}}, "version": "1.2.3", "providers": ["aws.east"]}),
        json!({"condition": {"members": {"use_as_module_input": false}}, "description": "d"}),
        json!({"condition": {}, "variables": {"n": "8080", "s": "\"a\\\"b\"", "l": "[1, 2]"}}),
    ];
    for more in all {
        let spec = read(&task(&more)).unwrap_or_else(|why| panic!("{more}: {why}"));
        let shown = to_object(&spec, &context());
        assert_eq!(read(&shown), Ok(spec), "{shown}");
        let given = more["condition"].as_object().unwrap().keys().next();
        assert_eq!(shown["condition"].as_object().unwrap().keys().next(), given, "{shown}");
    }
    let command = json!({"name": "c", "command": ["/bin/true", "x"], "condition": {}});
    let spec = read(&command).unwrap();
    assert_eq!(spec.grace, Duration::from_secs(10));
    assert_eq!(read(&to_object(&spec, &context())), Ok(spec));
}

#[test]
fn the_condition_asks_what_it_says() {
    let kv = json!({"consul_kv": {"path": "/fw/mode"}, "schedule": {"cron": "* * * * *"}});
    let spec = read(&task(&json!({"condition": kv}))).unwrap();
    let Condition::ConsulKv { kv, use_as_module_input: true } = spec.condition else { panic!("the first in order") };
    assert_eq!((kv.path.as_str(), kv.recurse), ("fw/mode", false));

    let both = json!({"services": {"names": ["web"], "regexp": "x", "filter": "f"}});
    let spec = read(&task(&json!({"condition": {"schedule": {"cron": "* * * * *"}}, "module_input": both}))).unwrap();
    let [ModuleInput::Services(Services::Names(names))] = spec.inputs.as_slice() else { panic!("names hide regexp") };
    assert_eq!((names[0].query.name.as_str(), names[0].query.filter.as_str()), ("web", "f"));
}

#[test]
fn a_buffer_bound_that_is_not_given_is_zero() {
    let buffer = |said: Value| read(&task(&json!({"buffer_period": said}))).unwrap().buffer;
    let (s, zero) = (Duration::from_secs, Duration::ZERO);
    assert_eq!(buffer(json!({"min": "10s"})), Some(Buffer { min: s(10), max: s(10) }));
    assert_eq!(buffer(json!({"max": "10s"})), Some(Buffer { min: zero, max: s(10) }));
    assert_eq!(buffer(json!({"enabled": false, "min": "1s"})), None);
    assert_eq!(buffer(json!({})), context().buffer);
    let said = json!({"condition": {"schedule": {"cron": "* * * * *"}}, "buffer_period": {"min": "1s"}});
    let spec = read(&task(&said)).unwrap();
    assert_eq!(spec.buffer, None);
    let shown = to_object(&spec, &context());
    assert_eq!(shown["buffer_period"], json!({"enabled": false, "min": "0s", "max": "0s"}));
    assert_eq!(to_object(&read(&task(&json!({}))).unwrap(), &context()).get("buffer_period"), None);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_made() {
    for (more, text) in [
        (json!({"name": "a/b"}), "cannot name a task"),
        (json!({"name": "a\nb"}), "cannot name a task"),
        (json!({"name": ".."}), "cannot name a task"),
        (json!({"command": ["x"]}), "not both"),
        (json!({"module": null}), "module for the task is required"),
        (json!({"working_dir": "/etc"}), "invalid keys: working_dir"),
        (json!({"services": ["web"]}), "invalid keys: services"),
        (json!({"condition": {"consul-kv": {"path": "a"}}}), "invalid keys: consul-kv"),
        (json!({"condition": {"consul_kv": {}}}), "path is required for consul-kv condition"),
        (json!({"condition": {"catalog_services": {}}}), "'regexp' field must be set"),
        (json!({"condition": {"services": {}}}), "either the regexp or names field"),
        (json!({"condition": {"services": {"names": [""]}}}), "cannot include empty string"),
        (json!({"condition": {"services": {"regexp": "("}}}), "failed to compile regexp"),
        (json!({"condition": {"services": {"regexp": "", "x": 1}}}), "unknown key `x`"),
        (json!({"condition": {"services": {"regexp": "", "source_includes_var": true}}}), "unknown key"),
        (json!({"condition": {"schedule": {"cron": "* * * *"}}}), "is not a timetable"),
        (json!({"condition": {"consul_kv": {"path": "a"}}, "module_input": {"consul_kv": {"path": "b"}}}), "unique"),
        (json!({"buffer_period": {"min": "5"}}), "has no unit"),
        (json!({"buffer_period": {"min": "-5s"}}), "cannot be negative"),
        (json!({"variables": {"v": "abc.def"}}), "not the literal text of a value"),
        (json!({"variables": {"v": "1\nbad = 2"}}), "not the literal text of a value"),
        (json!({"terraform_version": "1.0.0"}), "`terraform_version` is not supported"),
        (json!({"terraform_cloud_workspace": {}}), "`terraform_cloud_workspace` is not supported"),
    ] {
        let why = wrong(&task(&more));
        assert!(why.contains(text), "{more}: {why}");
    }
    assert!(wrong(&json!([])).contains("must be an object"));
    assert!(wrong(&json!({"module": "./x", "condition": {}})).contains("needs a `name`"));
}
