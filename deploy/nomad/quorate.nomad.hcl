# Three agents on three different machines of a Nomad cluster, with the programs of the package (raw_exec keeps the guardian alive
# where docker would end it with the agent; its plugin must be enabled). Change what stands in `locals`.
#
#   nomad job plan deploy/nomad/quorate.nomad.hcl
#   nomad job run  deploy/nomad/quorate.nomad.hcl

locals {
  datacenters = ["dc1"]
  # The machines on which agents run, the same in `constraint`: the data directory stays with its machine.
  machines = ["edge-1", "edge-2", "edge-3"]
  # A file on each machine with the key of the traffic: quorate keygen
  gossip_key = "/etc/quorate/secrets/gossip.key"
}

job "quorate" {
  datacenters = local.datacenters
  type        = "service"

  # One after the other, each when the one before is ready again.
  update {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "15s"
    healthy_deadline = "5m"
  }

  group "agent" {
    count = length(local.machines)

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }
    constraint {
      attribute = "${node.unique.name}"
      operator  = "set_contains_any"
      value     = join(",", local.machines)
    }

    # An agent belongs to the data directory of its machine: it is not started elsewhere.
    reschedule {
      attempts  = 0
      unlimited = false
    }
    restart {
      attempts = 10
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      mode = "host"
      port "http" { static = 8558 }
      port "gossip" { static = 8559 }
    }

    service {
      name     = "quorate"
      port     = "http"
      provider = "nomad"
      # Open without a token: see `access` below.
      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "agent" {
      driver       = "raw_exec"
      user         = "quorate"
      kill_signal  = "SIGTERM"
      kill_timeout = "120s"

      config {
        command = "/usr/bin/quorate"
        args    = ["start", "-config-file", "${NOMAD_TASK_DIR}/quorate.hcl", "-config-dir", "/etc/quorate/tasks"]
      }

      template {
        destination   = "local/quorate.hcl"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOT
          id          = "{{ env "node.unique.name" }}"
          http_addr   = "{{ env "NOMAD_ADDR_http" }}"
          data_dir    = "/var/lib/quorate"
          working_dir = "/var/lib/quorate/sync-tasks"

          access { default = "deny" }

          high_availability {
            cluster {
              name = "quorate"
              gossip {
                bind         = "{{ env "NOMAD_ADDR_gossip" }}"
                join         = ${jsonencode(formatlist("%s:8559", local.machines))}
                expect       = ${length(local.machines)}
                encrypt_file = "${local.gossip_key}"
              }
            }
          }
        EOT
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
