# The services that read from Kafka, one ECS service each. Those that scale do so by what waits for them.

variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "cluster" {
  type = object({ name = string, arn = string })
}

variable "consumers" {
  description = "By name."
  type = map(object({
    image          = string
    repository_arn = string
    port           = number
    cpu            = number
    memory         = number
    disk           = number
    spot           = bool
    replicas       = object({ min = number, max = number })
    environment    = map(string)
    secrets        = map(string)
    policies       = map(string)
  }))
}

variable "subnet_ids" {
  type = list(string)
}

variable "security_group_ids" {
  type = list(string)
}

variable "autoscaling" {
  type = bool
}

variable "waiting" {
  description = "Records that may wait for each replica before another one is started."
  type        = number
  default     = 1000
}

variable "metrics_namespace" {
  type = string
}

variable "log_days" {
  type = number
}

module "consumer" {
  source   = "../fargate_service"
  for_each = var.consumers

  name               = var.name
  service            = each.key
  region             = var.region
  account_id         = var.account_id
  cluster            = var.cluster
  image              = each.value.image
  repository_arn     = each.value.repository_arn
  port               = each.value.port
  cpu                = each.value.cpu
  memory             = each.value.memory
  disk               = each.value.disk
  spot               = each.value.spot
  replicas           = each.value.replicas
  autoscaling        = var.autoscaling
  environment        = each.value.environment
  secrets            = each.value.secrets
  policies           = each.value.policies
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids
  log_days           = var.log_days
}

# Each replica tells what waits in its own partitions, so the average is what waits for one of them.
resource "aws_appautoscaling_policy" "waiting" {
  for_each = { for name, each in var.consumers : name => each if var.autoscaling && each.replicas.max > each.replicas.min }

  name               = "${var.name}-${each.key}-waiting"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = module.consumer[each.key].scaled

  target_tracking_scaling_policy_configuration {
    target_value       = var.waiting
    scale_out_cooldown = 120
    scale_in_cooldown  = 900 # each change has all replicas stop while partitions are dealt anew

    customized_metric_specification {
      namespace   = var.metrics_namespace
      metric_name = "trending_consumer_lag"
      statistic   = "Average"

      dimensions {
        name  = "service"
        value = each.key
      }
    }
  }
}

output "log_groups" {
  value = { for name, each in module.consumer : name => each.log_group }
}

output "role_arns" {
  value = flatten([for each in module.consumer : each.role_arns])
}

output "containers" {
  value = { for name, each in module.consumer : name => each.container }
}
