# One service on ECS Fargate: its log, its two roles, its task and how many of it run.

variable "name" {
  description = "Of the house, with its environment: trending-staging."
  type        = string
}

variable "service" {
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

variable "image" {
  description = "By digest: what was tested is what runs."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image is named by its digest: REPOSITORY@sha256:…"
  }
}

variable "repository_arn" {
  type = string
}

variable "port" {
  type = number
}

variable "cpu" {
  type = number
}

variable "memory" {
  type = number
}

variable "disk" {
  description = "GiB below /data, gone with the task."
  type        = number

  validation {
    condition     = var.disk >= 21 && var.disk <= 200
    error_message = "Fargate gives 21 to 200 GiB."
  }
}

variable "environment" {
  type = map(string)
}

variable "secrets" {
  description = "Environment variables whose values lie in Secrets Manager, with the secrets' ARNs."
  type        = map(string)
}

variable "policies" {
  description = "What the service itself may do, as policies by name."
  type        = map(string)
}

variable "subnet_ids" {
  type = list(string)
}

variable "security_group_ids" {
  type = list(string)
}

variable "target_group_arn" {
  type    = string
  default = null
}

variable "replicas" {
  description = "At least and at most."
  type        = object({ min = number, max = number })

  validation {
    condition     = var.replicas.min >= 0 && var.replicas.min <= var.replicas.max
    error_message = "There are at least 0 replicas, and at most not fewer than at least."
  }
}

variable "autoscaling" {
  description = "Whether Application Auto Scaling holds the number between its limits."
  type        = bool
}

variable "spot" {
  description = "Whether it may run where AWS takes the machine back with two minutes' notice."
  type        = bool
  default     = false
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL; a service takes up to 45 to finish what it has begun."
  type        = number
  default     = 90

  validation {
    condition     = var.stop_timeout >= 60 && var.stop_timeout <= 120
    error_message = "A service needs 60 seconds to stop, and Fargate gives 120 at most."
  }
}

variable "log_days" {
  type = number
}

locals {
  full   = "${var.name}-${var.service}"
  stream = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${aws_cloudwatch_log_group.this.name}:*"
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
  container = {
    name                   = var.service
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "data", containerPath = "/data", readOnly = false }]
    portMappings           = [{ containerPort = var.port, protocol = "tcp" }]
    stopTimeout            = var.stop_timeout
    environment            = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]

    # ECS doesn't know the image's own health check. Alive, not ready: without a first model a gateway
    # isn't ready, and to replace it helps nobody.
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:${var.port}/healthz', timeout=4)"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = var.service
        mode                  = "non-blocking" # a service goes on while CloudWatch doesn't answer
        max-buffer-size       = "25m"
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/${var.service}"
  retention_in_days = var.log_days
}

# What ECS needs to start the task.
resource "aws_iam_role" "start" {
  name               = "${local.full}-start"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.start.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }, # there is no other resource for it
        {
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [var.repository_arn]
        },
        { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = [local.stream] },
      ],
      length(var.secrets) == 0 ? [] : [
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = values(var.secrets) },
      ],
    )
  })
}

# What the service itself may do.
resource "aws_iam_role" "task" {
  name               = "${local.full}-task"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "task" {
  for_each = var.policies

  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  ephemeral_storage {
    size_in_gib = var.disk
  }

  # The image says `VOLUME /data` and whose that is, so that the service may write there.
  volume {
    name = "data"
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.service
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.replicas.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = var.target_group_arn == null ? null : 120
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = false
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn == null ? [] : [var.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = var.service
      container_port   = var.port
    }
  }

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's
  }

  depends_on = [aws_iam_role_policy.start, aws_iam_role_policy.task]
}

resource "aws_appautoscaling_target" "this" {
  count = var.autoscaling ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.replicas.min
  max_capacity       = var.replicas.max
}

output "log_group" {
  value = aws_cloudwatch_log_group.this.name
}

output "scaled" {
  description = "What a scaling policy names; null without autoscaling."
  value       = one(aws_appautoscaling_target.this[*].resource_id)
}

output "role_arns" {
  value = [aws_iam_role.start.arn, aws_iam_role.task.arn]
}

output "container" {
  value = local.container
}
