output "gateway_url" {
  value = try(local.gateway.url, null)
}

output "repositories" {
  description = "Where each service's images are pushed to."
  value       = module.registry.urls
}

output "bucket" {
  value = module.storage.bucket
}

output "secrets" {
  description = "What people fill by `aws secretsmanager put-secret-value`; the optional ones if they are wanted."
  value       = module.secrets.arns
}

output "catalog_address" {
  value = module.catalog.address
}

output "bootstrap_servers" {
  value = module.kafka.bootstrap_servers
}

output "deploy_role_arn" {
  value = try(module.ci_oidc[0].role_arn, null)
}

output "containers" {
  description = "What each service's container is told."
  value       = merge(module.consumers.containers, try(local.gateway.containers, {}))
}

output "topics" {
  value = module.kafka.topics
}

output "metrics" {
  description = "What alarms and the dashboard ask for in our namespace."
  value       = module.observability.metrics
}
