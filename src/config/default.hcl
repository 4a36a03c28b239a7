# Every key of an agent, with its default and what it trades.
#
# Lines that start with "#:" are blocks that are off until you write them; take the "#:" away to switch them on. What
# stands there is what the block means when it says nothing else. `quorate config check -config-file FILE` tells what a
# file comes to. The language is HCL 1 or JSON; durations are "300ms", "5s", "1h2m".

# ---- the agent

# Who this agent is: 1 to 63 of A-Z a-z 0-9 . _ - and unique in the cluster. The lowest id alive leads, in byte order,
# so the ids decide who usually leads. The default is "cts-" and the host name.
# id = "cts-01"

# Where the API listens. Loopback serves the whole cluster, because followers forward to the leader; anything wider needs
# `tls` below with certificates of clients, or `access`. Or a Unix socket for the agent's user alone:
# "unix:///run/quorate/api.sock".
http_addr = "127.0.0.1:8558"

# Lets the API listen beyond the loopback although whoever reaches it can run and change everything, as the user of the
# agent. Said loudly in the log and in `quorate status`.
insecure = false

# Only the port of the API, as in CTS. Need not be given with http_addr.
port = 8558

# What must survive a restart: the agent's promises and its copy of the cluster's state. Put it on a disk that keeps
# its word; a lost directory makes this a new agent under an old name. Relative to the process directory.
data_dir = "quorate-data"

# Parent of the tasks' directories. May be lost: it is generated again.
working_dir = "sync-tasks"

# Most runs at a time, all tasks together.
max_parallel = 8

# TRACE, DEBUG, INFO, WARN or ERR. INFO tells the story of a failover in about ten lines.
log_level = "INFO"

# "text" for people, "json" for machines.
log_format = "text"

# A copy of the log for the syslog of this machine. Any key switches it on; `path` is the socket, if it is not where
# machines have it.
# syslog { facility = "LOCAL0" name = "consul-terraform-sync" }

# The API over TLS. With verify_incoming, clients must show a certificate that ca_cert (or a file in ca_path) vouches for.
# tls {
#   cert            = "/etc/quorate/api.pem"
#   key             = "/etc/quorate/api.key"
#   verify_incoming = true
#   ca_cert         = "/etc/quorate/ca.pem"
# }

# How many connections the API takes at a time: all clients together, and each of them (an IPv4 address, a /64 of IPv6, a
# user on a Unix socket). At a limit, connections that do nothing give way to new ones, first those of the client that has
# most: a flood does not keep others out.
limits {
  http_max_conns            = 768
  http_max_conns_per_client = 200
}

# One line of JSON for each request to this agent that changes something or is refused: to a file that only the agent's
# user reads, to the syslog of the machine, or both. The file is rotated before it grows beyond rotate_bytes (0: never, for
# those who rotate it themselves and send SIGHUP), and rotate_max_files old ones are kept. With required, a change that
# cannot be written down is refused with 503; without, a lost line is counted and told in the log.
# audit {
#   file             = "/var/log/quorate/audit.log"
#   rotate_bytes     = 104857600
#   rotate_max_files = 10
#   syslog           = false
#   required         = false
# }

# Who may use the API. Without this block, whoever reaches it may do everything: on the loopback, every local user. The same
# on every agent. `quorate token bootstrap` on an agent's host makes the first token, `quorate token create` the others.
# access {
#   enabled = true
#
#   # What callers may do that show nothing: "deny" nothing, "read" what the role read may, "write" everything but tokens
#   # (for the time in which clients get theirs).
#   default = "deny"
#
#   # What anybody may ask. Possible are these, /metrics and /openapi.json.
#   open = ["/livez", "/readyz", "/leader", "/v1/health"]
#
#   # A role for whoever shows a certificate (`tls` with verify_incoming) with such a common name or alternative name. `*` is
#   # any text, `?` one character. `tasks` limits it to tasks whose names fit; left out: all, and what is about no task.
#   # read looks, operate also runs, switches and cancels, admin does everything.
#   by_certificate "*.ops.example.com" { role = "admin" }
#   by_certificate "ci-*"              { role = "operate" tasks = ["web-*"] }
# }

# What runs print is kept: of each task the newest runs (at most 10,000 of all tasks together), each up to max_size of
# compressed text (of more, the beginning and the end), for max_age, on a majority of the agents. `quorate task logs` shows it.
# Secrets that the agent knows are taken out before. keep = 0 keeps nothing beyond the run itself.
runs {
  keep     = 100
  max_size = "1MiB"
  max_age  = "720h"
}

# Who is told what happens: by a webhook (signed with secret; format = "slack" for Slack and its kin) or by a command, which
# gets it as JSON on standard input. Kinds: failure, recovery, approval, drift, leader, member. As many blocks as you like.
# notify "ops" {
#   on      = ["failure", "recovery", "approval", "drift"]
#   webhook = "https://hooks.example.com/quorate"
#   secret  = "what the receiver knows, too"
# }

# ---- when tasks run

# Triggers of a task are gathered: it runs when none came for `min`, and at the latest `max` after the first. Short is
# fresh; long is fewer runs. Does not apply to schedules.
buffer_period {
  enabled = true
  min     = "5s"
  max     = "20s"
}

# ---- what runs them

driver "terraform" {
  # A directory with `terraform` or `tofu`, or that file itself. Default: the first on the PATH.
  # path = "/usr/local/bin"

  # The exact version that you expect, x.y.z. Another one is a warning.
  # version = "1.9.8"

  # Copy what Terraform prints to the agent's log: handy, and long.
  log = false

  # Let Terraform write its trace log to terraform.log in the task's directory: slow and large, for a hunt.
  persist_log = false

  # Where Terraform keeps its state: azurerm consul cos gcs http kubernetes local manta pg s3. Without one a single agent
  # takes Consul when it is used, else files; the agents of a cluster keep the state themselves.
  # backend "s3" { bucket = "state" key = "quorate" region = "eu-west-1" }

  # Where providers come from. Only those that a task uses are written for it.
  # required_providers { fw = { source = "acme/fw" version = "1.0.0" } }
}

# An instance of a provider; a task names it in `providers` as "fw" or "fw.east". Values may hold {{ env "NAME" }}.
# terraform_provider "fw" {
#   alias    = "east"
#   host     = "10.0.0.9"
#   task_env { "FW_TOKEN" = "{{ env \"FW_TOKEN\" }}" }
# }

# ---- what runs see, and secrets

# Secrets need not stand in a configuration: file("/run/secrets/x") is the text of a file without the end of its last line,
# env("NAME") a variable of the agent's environment, "{{ with secret \"kv/db\" }}{{ .Data.password }}{{ end }}" is asked of Vault.
# They may stand in `token` and `auth` of consul, `token` of vault, `encrypt`; and, read anew for every run, in
# terraform_provider, in a backend, in `variables` of a task and in `set` of run_env.

# Which variables of the agent's environment runs see. "all" is everything but what the agent took for itself, as in CTS;
# "listed" is PATH, HOME, the locale and the like, and what `names` names. What the agent took for itself, and QUORATE_TOKEN,
# pass only by their exact names, never by a pattern. When nothing is said, modules see all and commands
# what is listed. A task may have a block of its own: it adds to this one, and its `inherit` counts.
# run_env {
#   inherit = "listed"
#   names   = ["AWS_*", "VAULT_ADDR"]
#   set { DB_PASSWORD = file("/run/secrets/db") }
# }

# ---- more than one agent

#: high_availability {
#:   # What a follower does with a request that only the leader can answer: "forward" asks the leader and passes the
#:   # answer on; "redirect" answers 400 with the leader's address, as CTS Enterprise does.
#:   follower_requests = "forward"
#:
#:   cluster {
#:     # Clusters of different names on one network never mix.
#:     name = "quorate"
#:
#:     # Seals what the agents keep (tasks, events, Terraform state) before it reaches any disk: with keys of a file (one a
#:     # line, the first seals, each opens; `quorate keygen` makes one), the same on every agent, or with the keys of the
#:     # cluster when there is no file. Without the block it is kept in plain text. enabled = false opens what was sealed and
#:     # writes it plain.
#:     # at_rest { key_file = "/etc/quorate/at-rest.keys" }
#:
#:     gossip {
#:       # UDP for gossip, TCP for control. Without a key only loopback is allowed, and this is the default; with a key
#:       # (or encrypt = "none") the default is "0.0.0.0:8559".
#:       bind = "127.0.0.1:8559"
#:
#:       # Where others reach this agent. Default: bind, or the first address of this machine that is not loopback when
#:       # bind is 0.0.0.0. Needed behind address translation.
#:       # advertise = "10.0.0.1:8559"
#:
#:       # Seeds: where to look for the others. Name all founders, this agent included, the same on each of them. Host
#:       # names are good; seeds that do not answer yet are tried again.
#:       join = []
#:
#:       # How many agents found the cluster, the same on each. 3 survives the loss of one, 5 of two. It cannot be
#:       # guessed: an agent that sees nobody cannot tell being alone from being cut off.
#:       expect = 1
#:
#:       # "quorum": a majority of the voters grants leadership, so there is never a second leader; what is left of a
#:       # cluster without a majority does nothing. "alive": the lowest id that one sees leads, without a majority, so
#:       # one agent is enough, and two may lead while the network is cut.
#:       leadership = "quorum"
#:
#:       # "local" one machine or rack, replaces a dead machine's leader in about 0.7 s; "lan" 0.85 s; "calm" overcommitted
#:       # virtual machines 1.8 s; "wan" between sites 10 s. The faster, the shorter the pauses of a healthy leader that are
#:       # taken for its death: a pause of up to 0.4 s, 0.5 s, 1.2 s and 7 s never costs the leadership.
#:       profile = "lan"
#:
#:       # How long a lower id that came back must have been alive before leadership is handed to it. Short returns to
#:       # the usual leader soon; long is calmer when an agent comes and goes.
#:       settle = "10s"
#:
#:       # The key that seals all traffic, 32 bytes in base64, the same everywhere: `quorate keygen` makes one. Keep it
#:       # in a file of its own (encrypt_file) that only the agent can read. "none" goes without, where every machine of
#:       # the network is trusted.
#:       # encrypt      = ".."
#:       # A file may hold several keys, one a line: the first seals, all open. `quorate keyring` changes keys while agents run.
#:       # encrypt_file = "/etc/quorate/key"
#:
#:       # Single timers, if the profiles do not fit. They are checked together. `grant` and `renew` follow from
#:       # probe_period and suspect_to_down when they are not given.
#:       timing {
#:         probe_period    = "250ms"    # P: one member is probed each period
#:         probe_rtt       = "80ms"     # when to ask others to probe it: the round trip's 99th percentile
#:         suspect_to_down = "800ms"    # S: how long a suspect has to object
#:         transmissions   = 20         # how often an update is repeated; more lives with more loss
#:         gossip_period   = "100ms"    # how often pending updates are pushed
#:         buddy_period    = "100ms"    # how often a suspect is told that it is one
#:         reseed_period   = "3s"       # how often missing members are looked for
#:         grant           = "840ms"    # D: length of a lease, at most P + S
#:         renew           = "210ms"    # how often it is renewed, at most D / 4
#:         retry           = "60ms"     # when an unanswered message is sent again: about twice the round trip
#:         start_margin    = "100ms"    # what must be left of the lease for a run to start, at most D / 3
#:       }
#:     }
#:   }
#:
#:   # What others are told about the host of this agent's API. Default: nothing.
#:   # instance { address = "cts-01.example.com" }
#: }

# ---- tasks: there are none by default

# task {
#   name        = "render-haproxy"   # letters, digits, _ and -; a directory and a workspace are named after it
#   description = ""
#   enabled     = true
#
#   # Either a program with its arguments (no shell), which gets its input as JSON on standard input and in the file
#   # QUORATE_INPUT; or a Terraform module, where ./ and ../ start at the process directory.
#   command = ["./render", "--out", "/etc/haproxy/backends.cfg"]
#   # module         = "./modules/edge"
#   # version        = ""
#   # providers      = ["fw.east"]
#   # variable_files = ["edge.tfvars"]
#   # variables      = { zone = "\"dmz\"" }
#
#   # Variables whose values nobody is shown: not in the API, events, logs, nor in what Terraform prints. Those that are
#   # filled in from elsewhere are hidden anyway.
#   # sensitive_variables = ["password"]
#
#   # Whether the plan of a module waits for `quorate task approve`: "always" when it changes something, "destroy" when it
#   # destroys something. And a program that is given the plan as JSON on standard input and may refuse it.
#   # approval = "destroy"
#   # policy { command = ["conftest", "test", "-"] }
#
#   # How often it is looked whether what the module made is still so, and whether drift is told ("report") or corrected
#   # ("correct").
#   # drift { every = "1h" action = "report" }
#
#   # Whose rights its runs have ("user" or "user:group", needs an agent that is root), that they can gain none (sudo has no
#   # effect then), and what they may use all together. A limit that cannot be set fails the run.
#   # run_as       = "deploy"
#   # no_new_privs = true
#   # limits { memory = "512MiB" cpu = "50%" pids = 100 }
#
#   # When it runs, one of: when the members of the cluster change, or by the clock (5 fields; 6 with the year; 7 with
#   # seconds first). Without a condition it runs when a leader begins.
#   condition "members" { use_as_module_input = true }
#   # condition "schedule" { cron = "*/5 * * * *" }
#
#   # Give the members to a scheduled task as input.
#   # module_input "members" {}
#
#   # As above, for this task: `max` is four times `min` unless given.
#   # buffer_period { min = "5s" max = "20s" }
#
#   # Default: working_dir of the agent, then the name.
#   # working_dir = "sync-tasks/render-haproxy"
#
#   # How long an interrupted run may take to end by itself before it is killed: 10s for a command, 30s for Terraform.
#   # A new leader waits as long before it runs the task, if the run may still be going.
#   # grace = "10s"
#
#   # Longest a run may take, all its steps together: 10m for a command, which mostly renders and reloads within seconds; 1h
#   # for Terraform, whose providers may need tens of minutes and have limits of their own. "0s": no limit. A run that takes
#   # longer is ended like one that somebody cancels (SIGINT, grace, SIGKILL), told as timed out and not tried again.
#   # timeout = "10m"
# }
