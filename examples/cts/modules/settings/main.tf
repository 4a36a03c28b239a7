# Settings out of Consul's KV store, as a file.
variable "services" {
  type = map(object({ id = string }))
}

variable "consul_kv" {
  type = map(string)
}

resource "terraform_data" "settings" {
  triggers_replace = { for key, value in var.consul_kv : trimprefix(key, "edge/settings/") => value }

  provisioner "local-exec" {
    command     = "printf '%s' \"$CONTENT\" > settings.json"
    environment = { CONTENT = jsonencode(self.triggers_replace) }
  }
}
