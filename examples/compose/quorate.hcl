# The configuration of all three containers; each gets its id by -id on the command line.

# Inside a container the API must listen on more than loopback to be reached from the host.
http_addr = "0.0.0.0:8558"
# A playground: whoever reaches the ports below can run and change everything. docker-compose.yml publishes them on this
# machine only. Elsewhere ask for tokens: access { default = "deny" }, and `quorate token bootstrap`.
insecure  = true
data_dir  = "/quorate/data"

high_availability {
  cluster {
    name = "compose"
    gossip {
      bind   = "0.0.0.0:8559"
      join   = ["a1:8559", "a2:8559", "a3:8559"]
      expect = 3

      # Only because this network is private to the three containers. Elsewhere: `quorate keygen`.
      encrypt = "none"
    }
  }
}

# Writes down who is here whenever that changes.
task {
  name    = "members"
  command = ["sh", "-c", "cat > /quorate/members.json"]
  condition "members" {}
}

# Every ten seconds.
task {
  name    = "tick"
  command = ["sh", "-c", "echo \"epoch $QUORATE_EPOCH\" >> /quorate/ticks.log"]
  condition "schedule" { cron = "*/10 * * * * * *" }
}
