h# A configuration of Consul-Terraform-Sync as its users have it, with keys that CTS calls deprecated.
# docs/moving-from-cts.md takes it through the move; tests/cts/moving.rs is that page as a test.
log_level   = "INFO"
port        = 8558
working_dir = "sync-tasks"

consul {
  address = "localhost:8500"

  service_registration {
    service_name = "consul-terraform-sync"
  }
}

buffer_period {
  enabled = true
  min     = "5s"
  max     = "20s"
}

driver "terraform" {
  log         = false
  persist_log = false

  backend "consul" {
    gzip = true
  }
}

# Deprecated since CTS 0.5: options of a service stand in the condition today.
service {
  name        = "api"
  id          = "public-api"
  description = "what the edge may see of the API"
  filter      = "\"public\" in Service.Tags"

  cts_user_defined_meta {
    zone = "dmz"
  }
}

task {
  name           = "edge-backends"
  description    = "backends of the edge proxy"
  source         = "./modules/backends"  # deprecated name of module
  services       = ["web", "public-api"] # deprecated: condition "services"
  variable_files = ["edge.tfvars"]
}

task {
  name    = "edge-settings"
  source  = "./modules/settings"
  enabled = true

  condition "consul-kv" {
    path                = "edge/settings"
    recurse             = true
    source_includes_var = true # deprecated name of use_as_module_input
  }

  # Deprecated name of module_input.
  source_input "services" {
    regexp = "^web$"
  }

  buffer_period {
    min = "10s"
  }
}

task {
  name   = "nightly"
  module = "./modules/settings"

  condition "schedule" {
    cron = "30 3 * * *"
  }

  module_input "consul-kv" {
    path    = "edge/settings"
    recurse = true
  }
}
