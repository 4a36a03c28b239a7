//! Condition `consul-kv`.

use crate::harness::{Consul, Place, task};

#[test]
fn keys_come_change_and_go() {
    let consul = Consul::start();
    consul.put_key("there/a", "1");
    let place = Place::new(&consul);
    let key = |path: &str, rest: &str| format!("condition \"consul-kv\" {{\n path = \"{path}\"\n {rest}\n }}");
    let input = "module_input \"services\" {\n names = [\"db\"]\n }";
    let agent = place.ready(&format!(
        "{}{}{}{}",
        task("new", "with-kv", &format!("{}\n {input}", key("new/a", ""))),
        task("existing", "with-kv", &key("there/a", "")),
        task("prefix", "with-kv", &key("there/a", "recurse = true")),
        task("unused", "addresses", &key("there/a", "use_as_module_input = false")),
    ));
    assert!(place.tfvars("new").contains("consul_kv = {\n}"), "{}", place.tfvars("new"));
    assert!(place.tfvars("existing").contains("\"there/a\" = \"1\""), "{}", place.tfvars("existing"));
    assert!(!place.tfvars("unused").contains("consul_kv"), "{}", place.tfvars("unused"));
    let marks = ["new", "existing", "prefix", "unused"].map(|task| agent.mark(task));
    let [new, existing, prefix, unused] = &marks;

    // Neighbours of a key and of a prefix, and an input: only a prefix sees what begins as it does.
    consul.put_key("new/ab", "x");
    consul.put_key("new/a/b", "x");
    consul.put_key("there/b", "x");
    consul.put_key("there/ab", "x");
    prefix.wait(1);
    consul.register("db", "db-1", "10.0.0.9");
    consul.put_key("new/a", "one");
    new.wait(1);
    consul.put_key("new/a", "two");
    new.wait(2);
    assert!(place.tfvars("new").contains("\"new/a\" = \"two\""), "{}", place.tfvars("new"));
    assert_eq!(place.resources("new"), ["db-1"]);
    consul.delete_key("new/a");
    new.wait(3);
    assert!(place.tfvars("new").contains("consul_kv = {\n}"), "{}", place.tfvars("new"));

    consul.put_key("there/a", "2");
    existing.wait(1);
    unused.wait(1);
    prefix.wait(2);
    consul.delete_key("there/a");
    existing.wait(2);
    unused.wait(2);
    prefix.wait(3);
    let text = place.tfvars("prefix");
    assert!(text.contains("\"there/ab\" = \"x\"") && !text.contains("\"there/a\""), "{text}");
}
