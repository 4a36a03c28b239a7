# One of three agents; the script adds id, ports and seeds by flags.

log_level = "INFO"

high_availability {
  cluster {
    name = "load-balancer"
    gossip {
      expect  = 3
      profile = "local"
      settle  = "3s"
    }
  }
}

consul {
  service_registration {
    enabled = false
  }
}

buffer_period {
  enabled = false
}

task {
  name           = "load-balancer"
  description    = "HAProxy's servers are the healthy instances of web"
  module         = "./module"
  variable_files = ["haproxy.tfvars"]

  condition "services" {
    names = ["web"]
  }

  # When half of the instances vanish at once, somebody should look first.
  max_change_percent = 60
}
