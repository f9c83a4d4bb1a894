# The gateway on App Runner, for accounts that were its customers before 30 April 2026. It splits no
# traffic, takes the processor away between requests and ends each after 120 seconds; the gateway can
# live with that. Nothing can scrape /metrics there: metrics leave as log lines (METRICS_EMF_NAMESPACE).

variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "gateway" {
  type = object({
    image          = string
    repository_arn = string
    port           = number
    cpu            = number
    memory         = number
    replicas       = object({ min = number, max = number })
    environment    = map(string)
    secrets        = map(string)
    policies       = map(string)
  })

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.gateway.image))
    error_message = "An image is named by its digest: REPOSITORY@sha256:…"
  }
}

variable "subnet_ids" {
  type = list(string)
}

variable "security_group_ids" {
  type = list(string)
}

resource "aws_iam_role" "start" {
  name = "${var.name}-inference-start"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "build.apprunner.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.start.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }, # there is no other resource for it
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
        Resource = [var.gateway.repository_arn]
      },
    ]
  })
}

resource "aws_iam_role" "task" {
  name = "${var.name}-inference-task"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "tasks.apprunner.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "task" {
  for_each = merge(
    var.gateway.policies,
    length(var.gateway.secrets) == 0 ? {} : {
      secrets = jsonencode({
        Version   = "2012-10-17"
        Statement = [{ Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = values(var.gateway.secrets) }]
      })
    },
  )

  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

# With a connector all that goes out goes through the VPC: to Kafka and the catalog, and by NAT to a language model.
resource "aws_apprunner_vpc_connector" "this" {
  vpc_connector_name = var.name
  subnets            = var.subnet_ids
  security_groups    = var.security_group_ids
}

resource "aws_apprunner_auto_scaling_configuration_version" "this" {
  auto_scaling_configuration_name = var.name
  max_concurrency                 = 64
  min_size                        = var.gateway.replicas.min
  max_size                        = var.gateway.replicas.max
}

resource "aws_apprunner_service" "this" {
  service_name                   = var.name
  auto_scaling_configuration_arn = aws_apprunner_auto_scaling_configuration_version.this.arn

  source_configuration {
    auto_deployments_enabled = false # a push of an image is no decision to serve it

    authentication_configuration {
      access_role_arn = aws_iam_role.start.arn
    }

    image_repository {
      image_identifier      = var.gateway.image
      image_repository_type = "ECR"

      image_configuration {
        port                          = var.gateway.port
        runtime_environment_variables = var.gateway.environment
        runtime_environment_secrets   = var.gateway.secrets
      }
    }
  }

  instance_configuration {
    cpu               = var.gateway.cpu
    memory            = var.gateway.memory
    instance_role_arn = aws_iam_role.task.arn
  }

  health_check_configuration {
    protocol            = "HTTP"
    path                = "/healthz"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 1
    unhealthy_threshold = 5
  }

  network_configuration {
    egress_configuration {
      egress_type       = "VPC"
      vpc_connector_arn = aws_apprunner_vpc_connector.this.arn
    }
  }

  depends_on = [aws_iam_role_policy.start, aws_iam_role_policy.task]
}

output "url" {
  value = "https://${aws_apprunner_service.this.service_url}"
}

# App Runner makes this group, with the service's id in its name, when the service first starts.
output "log_groups" {
  value = { inference = "/aws/apprunner/${var.name}/${aws_apprunner_service.this.service_id}/application" }
}

output "role_arns" {
  value = [aws_iam_role.start.arn, aws_iam_role.task.arn]
}

output "containers" {
  value = { inference = {
    image       = var.gateway.image
    environment = [for name in sort(keys(var.gateway.environment)) : { name = name, value = var.gateway.environment[name] }]
    secrets     = [for name in sort(keys(var.gateway.secrets)) : { name = name, valueFrom = var.gateway.secrets[name] }]
  } }
}

output "metrics" {
  description = "What CloudWatch counts of the gateway from outside."
  value = {
    namespace  = "AWS/AppRunner"
    dimensions = { ServiceName = var.name, ServiceID = aws_apprunner_service.this.service_id }
    requests   = "Requests"
    errors     = ["5xxStatusResponses"]
    latency    = "RequestLatency"
    second     = 1000 # in the unit of its latency
    hosts      = null # App Runner replaces what isn't healthy and tells no number of it
  }
}
