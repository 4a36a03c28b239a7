# Keeps one record for each agent of the cluster and for each service, and writes them to a file: the smallest module
# that shows what a task is given. It needs no provider, so nothing is downloaded.

resource "terraform_data" "member" {
  for_each = var.members
  input    = each.value
}

resource "terraform_data" "service" {
  for_each = var.services
  input    = { name = each.value.name, address = each.value.address, port = each.value.port }
}

locals {
  members  = [for id, member in var.members : "member ${id} ${member.address} ${member.gossip_address}"]
  services = [for id, service in var.services : "service ${id} ${service.address}:${service.port}"]
  text     = join("\n", concat(local.members, local.services))
}

resource "terraform_data" "file" {
  count            = var.file == "" ? 0 : 1
  triggers_replace = [var.file, local.text]

  # The text goes through the environment: what a service says of itself must not become a part of the command.
  provisioner "local-exec" {
    command     = "printf '%s\\n' \"$TEXT\" > \"$FILE.new\" && mv \"$FILE.new\" \"$FILE\""
    environment = { TEXT = local.text, FILE = var.file }
  }
}
