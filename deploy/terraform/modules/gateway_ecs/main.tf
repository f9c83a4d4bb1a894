# The gateway on ECS Fargate behind an application load balancer.

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

variable "gateway" {
  type = object({
    image          = string
    repository_arn = string
    port           = number
    cpu            = number
    memory         = number
    disk           = number
    replicas       = object({ min = number, max = number })
    environment    = map(string)
    secrets        = map(string)
    policies       = map(string)
  })
}

variable "vpc_id" {
  type = string
}

variable "public_subnet_ids" {
  type = list(string)
}

variable "private_subnet_ids" {
  type = list(string)
}

variable "tasks_security_group_id" {
  type = string
}

variable "certificate_arn" {
  description = "Of ACM, in this region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:acm:", var.certificate_arn))
    error_message = "On ECS the gateway needs certificate_arn, a certificate of ACM's: it is reached by HTTPS only."
  }
}

variable "callers" {
  description = "Networks that may reach the load balancer."
  type        = list(string)
}

variable "requests" {
  description = "Requests a minute and replica beyond which another one is started."
  type        = number
}

variable "protected" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}

variable "autoscaling" {
  type = bool
}

variable "log_days" {
  type = number
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "The gateway's load balancer"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = { for pair in setproduct(var.callers, [80, 443]) : "${pair[0]} ${pair[1]}" => pair }

  security_group_id = aws_security_group.balancer.id
  description       = each.value[1] == 80 ? "HTTP, which is sent on to HTTPS" : "HTTPS"
  cidr_ipv4         = each.value[0]
  ip_protocol       = "tcp"
  from_port         = each.value[1]
  to_port           = each.value[1]
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "To the gateway"
  referenced_security_group_id = aws_security_group.gateway.id
  ip_protocol                  = "tcp"
  from_port                    = var.gateway.port
  to_port                      = var.gateway.port
}

resource "aws_security_group" "gateway" {
  name        = "${var.name}-gateway"
  description = "Gateway tasks, reached by the load balancer alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "gateway" {
  security_group_id            = aws_security_group.gateway.id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = var.gateway.port
  to_port                      = var.gateway.port
}

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = false
  security_groups            = [aws_security_group.balancer.id]
  subnets                    = var.public_subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protected
  idle_timeout               = 120 # jobs are followed by server-sent events
}

resource "aws_lb_target_group" "this" {
  name                 = var.name
  vpc_id               = var.vpc_id
  target_type          = "ip"
  port                 = var.gateway.port
  protocol             = "HTTP"
  deregistration_delay = 45

  # Not /readyz: it says 503 until there is a first model, and then no target would ever be healthy.
  health_check {
    path                = "/healthz"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
    matcher             = "200"
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

module "service" {
  source = "../fargate_service"

  name               = var.name
  service            = "inference"
  region             = var.region
  account_id         = var.account_id
  cluster            = var.cluster
  image              = var.gateway.image
  repository_arn     = var.gateway.repository_arn
  port               = var.gateway.port
  cpu                = var.gateway.cpu
  memory             = var.gateway.memory
  disk               = var.gateway.disk
  replicas           = var.gateway.replicas
  autoscaling        = var.autoscaling
  environment        = var.gateway.environment
  secrets            = var.gateway.secrets
  policies           = var.gateway.policies
  subnet_ids         = var.private_subnet_ids
  security_group_ids = [var.tasks_security_group_id, aws_security_group.gateway.id]
  target_group_arn   = aws_lb_target_group.this.arn
  log_days           = var.log_days

  depends_on = [aws_lb_listener.https]
}

resource "aws_appautoscaling_policy" "requests" {
  count = var.autoscaling && var.gateway.replicas.max > var.gateway.replicas.min ? 1 : 0

  name               = "${var.name}-inference-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = module.service.scaled

  target_tracking_scaling_policy_configuration {
    target_value       = var.requests
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.this.arn_suffix}/${aws_lb_target_group.this.arn_suffix}"
    }
  }
}

output "url" {
  description = "The load balancer's own name; the certificate is for yours, which is to point here."
  value       = "https://${aws_lb.this.dns_name}"
}

output "log_groups" {
  value = { inference = module.service.log_group }
}

output "role_arns" {
  value = module.service.role_arns
}

output "containers" {
  value = { inference = module.service.container }
}

output "metrics" {
  description = "What CloudWatch counts of the gateway from outside."
  value = {
    namespace  = "AWS/ApplicationELB"
    dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
    requests   = "RequestCount"
    errors     = ["HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"]
    latency    = "TargetResponseTime"
    second     = 1 # in the unit of its latency
    hosts      = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.this.arn_suffix }
  }
}
