# MSK Serverless, or a cluster that there is, and who may read and write which topic. Both follow the contract between the services,
# docs/asyncapi.json, which is made from their code.

variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "client_security_group_id" {
  type = string
}

variable "existing" {
  description = "A cluster of MSK's with IAM that there is already; null makes a serverless one."
  type        = object({ arn = string, bootstrap_servers = string })
  default     = null
}

variable "services" {
  type = set(string)
}

variable "contract" {
  description = "The services' AsyncAPI document."
  type        = any
}

locals {
  arn          = var.existing != null ? var.existing.arn : aws_msk_serverless_cluster.this[0].arn
  topic        = replace(local.arn, ":cluster/", ":topic/")
  group        = replace(local.arn, ":cluster/", ":group/")
  transaction  = replace(local.arn, ":cluster/", ":transactional-id/")
  schedules    = "scrape-schedules" # the scraper's own topic, which is in no contract
  schedule_own = "trending-scraper-schedule"

  receives = { for service in var.services : service => sort(distinct([
    for name, each in var.contract.operations : basename(each.channel["$ref"]) if startswith(name, "${service}-receives-")
  ])) }
  sends = { for service in var.services : service => sort(distinct([
    for name, each in var.contract.operations : basename(each.channel["$ref"]) if startswith(name, "${service}-sends-")
  ])) }

  # A service postpones and parks what it can't handle in topics of its own, and reads the former again.
  own = { for service in var.services : service => length(local.receives[service]) > 0 ? ["*-${service}-retry-*", "*-${service}-dlq"] : [] }

  reads = { for service in var.services : service => concat(
    # The gateway follows jobs through all topics and tells what waits in each.
    service == "inference" ? ["*"] : concat(local.receives[service], local.own[service]),
    service == "scraper" ? [local.schedules] : [],
  ) }
  writes = { for service in var.services : service => concat(
    local.sends[service],
    local.own[service],
    service == "scraper" ? [local.schedules] : [],
  ) }
}

resource "aws_security_group" "this" {
  count = var.existing == null ? 1 : 0

  name        = "${var.name}-kafka"
  description = "Kafka"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  count = var.existing == null ? 1 : 0

  security_group_id            = aws_security_group.this[0].id
  description                  = "Kafka with IAM from tasks"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 9098
  to_port                      = 9098
}

resource "aws_msk_serverless_cluster" "this" {
  count = var.existing == null ? 1 : 0

  cluster_name = var.name

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.this[0].id]
  }

  client_authentication {
    sasl {
      iam {
        enabled = true
      }
    }
  }
}

output "bootstrap_servers" {
  value = var.existing != null ? var.existing.bootstrap_servers : aws_msk_serverless_cluster.this[0].bootstrap_brokers_sasl_iam
}

output "topics" {
  description = "The topics that each service reads and writes."
  value       = { for service in var.services : service => { reads = local.reads[service], writes = local.writes[service] } }
}

output "policies" {
  description = "What each service's role may do with Kafka."
  value = { for service in var.services : service => jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Connect"
          Effect   = "Allow"
          Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster", "kafka-cluster:WriteDataIdempotently"]
          Resource = [local.arn]
        },
        {
          Sid      = "Read"
          Effect   = "Allow"
          Action   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
          Resource = [for name in local.reads[service] : "${local.topic}/${name}"]
        },
        {
          Sid      = "Write" # who writes or reads a topic first makes it
          Effect   = "Allow"
          Action   = ["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
          Resource = [for name in local.writes[service] : "${local.topic}/${name}"]
        },
      ],
      length(local.receives[service]) == 0 ? [] : [
        {
          Sid      = "CreateWhatIsRead"
          Effect   = "Allow"
          Action   = ["kafka-cluster:CreateTopic"]
          Resource = [for name in local.receives[service] : "${local.topic}/${name}"]
        },
        {
          Sid      = "Group"
          Effect   = "Allow"
          Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
          Resource = ["${local.group}/${service}"]
        },
      ],
      service != "inference" ? [] : [{
        Sid      = "SeeWhatWaits"
        Effect   = "Allow"
        Action   = ["kafka-cluster:DescribeGroup"]
        Resource = ["${local.group}/*"]
      }],
      service != "scraper" ? [] : [{
        Sid      = "ScheduleInTransactions"
        Effect   = "Allow"
        Action   = ["kafka-cluster:AlterTransactionalId", "kafka-cluster:DescribeTransactionalId"]
        Resource = ["${local.transaction}/${local.schedule_own}"]
      }],
    )
  }) }
}
