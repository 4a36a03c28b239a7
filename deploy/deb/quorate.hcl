# The configuration of this agent: all .hcl and .json files in this directory, in order of their names.
# Every key is explained in /usr/share/doc/quorate/default.hcl.gz; `quorate config check -config-dir /etc/quorate` says what is wrong.
# This one is a single agent without tasks. For a cluster give each machine an id and the block below.

# id = "edge-1"

# What must survive a restart, and the directories of the tasks. The unit lets the agent write here.
data_dir    = "/var/lib/quorate"
working_dir = "/var/lib/quorate/sync-tasks"

# high_availability {
#   cluster {
#     name = "edge"
#     gossip {
#       bind         = "10.0.0.1:8559"
#       join         = ["10.0.0.1:8559", "10.0.0.2:8559", "10.0.0.3:8559"]
#       expect       = 3
#       encrypt_file = "/etc/quorate/secrets/gossip.key"     # quorate keygen; the same on all machines
#     }
#   }
# }
