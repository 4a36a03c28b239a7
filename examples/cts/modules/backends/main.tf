# The backends of a proxy, one line an instance. Plain Terraform: no provider is needed.
variable "services" {
  type = map(object({
    id                    = string
    name                  = string
    address               = string
    port                  = number
    cts_user_defined_meta = map(string)
  }))
}

variable "listen" {
  type = string
}

variable "limits" {
  type = object({ connections = number })
}

resource "terraform_data" "backends" {
  triggers_replace = templatefile("${path.module}/backends.tftpl", {
    services = var.services
    listen   = var.listen
    limits   = var.limits
  })

  provisioner "local-exec" {
    command     = "printf '%s' \"$CONTENT\" > backends.cfg"
    environment = { CONTENT = self.triggers_replace }
  }
}
