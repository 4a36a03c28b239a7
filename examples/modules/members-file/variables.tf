variable "services" {
  description = "Passed to every module, used here or not."
  type = map(object({
    id      = string
    name    = string
    address = string
    port    = number
  }))
}

variable "members" {
  description = "Passed when the task has condition \"members\" or module_input \"members\"."
  type = map(object({
    id             = string
    address        = string
    gossip_address = string
  }))
  default = {}
}

variable "file" {
  description = "Where to write; empty: nowhere."
  type        = string
  default     = ""
}
