mock_provider "aws" {
  source = "../mocks"
}

variables {
  name       = "trending-test"
  region     = "eu-central-1"
  account_id = "123456789012"
  cluster    = { name = "trending-test", arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/trending-test" }
  gateway = {
    image          = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/one@sha256:0000000000000000000000000000000000000000000000000000000000000005"
    repository_arn = "arn:aws:ecr:eu-central-1:123456789012:repository/one"
    port           = 8080
    cpu            = 1024
    memory         = 2048
    disk           = 21
    replicas       = { min = 2, max = 8 }
    environment    = { INFERENCE_PORT = "8080" }
    secrets        = { CATALOG_URL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:one-AbCdEf" }
    policies       = {}
  }
  vpc_id                  = "vpc-1"
  public_subnet_ids       = ["subnet-1", "subnet-2"]
  private_subnet_ids      = ["subnet-3", "subnet-4"]
  subnet_ids              = ["subnet-3", "subnet-4"]
  security_group_ids      = ["sg-tasks"]
  tasks_security_group_id = "sg-tasks"
  certificate_arn         = "arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
  callers                 = ["0.0.0.0/0"]
  requests                = 6000
  protected               = true
  autoscaling             = true
  log_days                = 90
}

run "on_ecs_it_is_reached_by_https_through_the_balancer_alone" {
  command = apply

  module {
    source = "../modules/gateway_ecs"
  }

  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && strcontains(aws_lb_listener.https.ssl_policy, "TLS13")
    error_message = "The gateway can be asked without TLS 1.2 or newer."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "HTTP is answered, and not sent on to HTTPS."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.gateway.referenced_security_group_id == aws_security_group.balancer.id && aws_vpc_security_group_ingress_rule.gateway.cidr_ipv4 == null
    error_message = "Others than the load balancer reach the tasks."
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection && aws_lb.this.drop_invalid_header_fields
    error_message = "The load balancer can be deleted by a slip, or passes on broken headers."
  }

  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/healthz" && aws_lb_target_group.this.target_type == "ip"
    error_message = "Targets are judged by something else than being alive."
  }
}

run "on_ecs_it_needs_a_certificate" {
  command = plan

  module {
    source = "../modules/gateway_ecs"
  }

  variables {
    certificate_arn = ""
  }

  expect_failures = [var.certificate_arn]
}

run "on_app_runner_a_push_deploys_nothing" {
  command = apply

  module {
    source = "../modules/gateway_apprunner"
  }

  assert {
    condition     = aws_apprunner_service.this.source_configuration[0].auto_deployments_enabled == false
    error_message = "Whoever pushes an image deploys it."
  }

  assert {
    condition     = aws_apprunner_auto_scaling_configuration_version.this.min_size == 2
    error_message = "Fewer instances than were asked for."
  }

  assert {
    condition     = aws_apprunner_service.this.source_configuration[0].image_repository[0].image_configuration[0].runtime_environment_secrets["CATALOG_URL"] == var.gateway.secrets["CATALOG_URL"]
    error_message = "The secret isn't taken from Secrets Manager."
  }

  assert {
    condition     = aws_apprunner_service.this.network_configuration[0].egress_configuration[0].egress_type == "VPC"
    error_message = "Kafka and catalog can't be reached."
  }
}

run "on_app_runner_an_image_is_named_by_digest" {
  command = plan

  module {
    source = "../modules/gateway_apprunner"
  }

  variables {
    gateway = {
      image          = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/one:latest"
      repository_arn = "arn:aws:ecr:eu-central-1:123456789012:repository/one"
      port           = 8080
      cpu            = 1024
      memory         = 2048
      disk           = 21
      replicas       = { min = 2, max = 8 }
      environment    = {}
      secrets        = {}
      policies       = {}
    }
  }

  expect_failures = [var.gateway]
}
