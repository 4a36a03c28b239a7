//! Modules as the upstream tests use them, of what Terraform has built in. They write into the task's directory.

use std::fs;
use std::path::Path;

/// A file `resources/<id>.txt` for each instance, with its address.
const ADDRESSES: &str = r#"
variable "services" {
  type = map(object({ id = string, name = string, address = string, port = number, status = string, tags = list(string) }))
}
resource "terraform_data" "address" {
  for_each         = var.services
  input            = "resources/${each.value.id}.txt"
  triggers_replace = [each.value.address]
  provisioner "local-exec" {
    command = "mkdir -p resources && printf %s '${each.value.address}' > 'resources/${each.value.id}.txt'"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "rm -f '${self.input}'"
  }
}
"#;

/// What a module with other inputs declares.
fn wide(variable: &str) -> String {
    format!(
        "{ADDRESSES}\nvariable \"{variable}\" {{}}\nresource \"terraform_data\" \"more\" {{ input = var.{variable} }}\n"
    )
}

/// Waits until the file `go` is in the process directory: a run of known length.
const SLOW: &str = r#"
resource "terraform_data" "slow" {
  input            = var.services
  triggers_replace = [var.services]
  provisioner "local-exec" {
    command = "echo x >> ../../begun; until [ -e ../../go ]; do sleep 0.05; done"
  }
}
"#;

/// Notes how many instances a run was given.
const COUNTED: &str = r#"
variable "services" {}
resource "terraform_data" "count" {
  triggers_replace = [length(var.services)]
  provisioner "local-exec" {
    command = "echo ${length(var.services)} >> ../../counted"
  }
}
"#;

/// Fails when it is applied, and passes `validate`.
const FAILING: &str = r#"
variable "services" {}
resource "terraform_data" "it" {
  provisioner "local-exec" { command = "cat ./no-such-file" }
}
"#;

/// Writes all of them below `dir/modules`.
pub(crate) fn write(dir: &Path) {
    for (name, text) in [
        ("addresses", ADDRESSES.to_owned()),
        ("with-kv", wide("consul_kv")),
        ("with-catalog", wide("catalog_services")),
        ("with-both", format!("{}\nvariable \"catalog_services\" {{}}\n", wide("consul_kv"))),
        ("slow", format!("{ADDRESSES}{SLOW}")),
        ("counted", COUNTED.to_owned()),
        ("failing", FAILING.to_owned()),
        ("no-services", "resource \"terraform_data\" \"it\" {}\n".to_owned()),
    ] {
        let dir = dir.join("modules").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("main.tf"), text).unwrap();
    }
}
