output "members" {
  description = "Ids of the agents that the last run knew."
  value       = sort(keys(var.members))
}
