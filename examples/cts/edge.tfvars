listen = "0.0.0.0:443"
limits = {
  connections = 100
}
