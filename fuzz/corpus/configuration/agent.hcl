h# Three agents.
id        = "edge-1"
http_addr = "127.0.0.1:8558"
data_dir  = "/var/lib/quorate"
log_level = "DEBUG"

high_availability {
  cluster {
    name = "edge"
    gossip {
      bind    = "127.0.0.1:8559"
      join    = ["10.0.0.1:8559", "10.0.0.2:8559"]
      expect  = 3
      timing { probe_period = "250ms" }
    }
  }
}

task {
  name    = "render"
  command = ["/usr/local/bin/render", "--out", "/etc/x.cfg"]
  timeout = "1m30s"
  condition "members" {}
}
