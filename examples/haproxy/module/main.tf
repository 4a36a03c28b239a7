# Renders HAProxy's configuration from the instances of a service and reloads HAProxy when it has changed.

variable "services" {
  description = "The instances, as Consul-Terraform-Sync and Quorate give them."
  type = map(object({
    id      = string
    name    = string
    address = string
    port    = number
    node    = string
  }))
}

variable "directory" {
  description = "Where haproxy.cfg and haproxy.pid are."
  type        = string
}

variable "port" {
  description = "Where HAProxy listens."
  type        = number
}

locals {
  config = templatefile("${path.module}/haproxy.cfg.tftpl", { port = var.port, servers = var.services })
}

resource "terraform_data" "haproxy" {
  triggers_replace = local.config

  # Checked before it is put in place; then HAProxy's master takes it without dropping a connection.
  provisioner "local-exec" {
    command = <<-EOT
      set -eu
      cd "$DIRECTORY"
      printf '%s' "$CONFIG" > haproxy.cfg.new
      haproxy -q -c -f haproxy.cfg.new
      mv haproxy.cfg.new haproxy.cfg
      kill -USR2 "$(cat haproxy.pid)"
    EOT
    environment = {
      CONFIG    = local.config
      DIRECTORY = var.directory
    }
  }
}
