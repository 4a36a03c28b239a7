hconsul {
  address = "https://consul.example:8501"
  token   = "t"
  tls { enabled = true }
}
driver "terraform" {
  log = true
  required_providers { local = { source = "hashicorp/local" version = "2.1.0" } }
}
terraform_provider "local" {}
buffer_period { enabled = true min = "5s" max = "20s" }
task {
  name = "web" description = "firewall" enabled = false
  module = "./fw" version = "1.0.0"
  providers = ["local"]
  condition "services" {
    regexp = "^web.*"
    datacenter = "dc1"
    cts_user_defined_meta { key = "value" }
  }
  module_input "consul-kv" { path = "a/b" recurse = true }
}
task {
  name = "cron" module = "./fw"
  condition "schedule" { cron = "30 3 * * *" }
}
