# What AWS would answer, where a made-up word isn't enough: the provider checks ARNs.

mock_resource "aws_apprunner_auto_scaling_configuration_version" {
  defaults = { arn = "arn:aws:apprunner:eu-central-1:123456789012:autoscalingconfiguration/trending/1/0123456789abcdef0123456789abcdef" }
}

mock_resource "aws_apprunner_service" {
  defaults = {
    arn         = "arn:aws:apprunner:eu-central-1:123456789012:service/trending/0123456789abcdef0123456789abcdef"
    service_id  = "0123456789abcdef0123456789abcdef"
    service_url = "gateway.eu-central-1.awsapprunner.com"
  }
}

mock_resource "aws_apprunner_vpc_connector" {
  defaults = { arn = "arn:aws:apprunner:eu-central-1:123456789012:vpcconnector/trending/1/0123456789abcdef0123456789abcdef" }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = { arn = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:one" }
}

mock_resource "aws_db_instance" {
  defaults = { endpoint = "trending.abc.eu-central-1.rds.amazonaws.com:5432" }
}

mock_resource "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/one"
    repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/one"
  }
}

mock_resource "aws_ecs_cluster" {
  defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/trending" }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/one:1" }
}

mock_resource "aws_iam_openid_connect_provider" {
  defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/one" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef" }
}

mock_resource "aws_lb" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/trending/0123456789abcdef"
    arn_suffix = "app/trending/0123456789abcdef"
    dns_name   = "trending-1.eu-central-1.elb.amazonaws.com"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/trending/0123456789abcdef"
    arn_suffix = "targetgroup/trending/0123456789abcdef"
  }
}

mock_resource "aws_msk_serverless_cluster" {
  defaults = {
    arn                        = "arn:aws:kafka:eu-central-1:123456789012:cluster/trending/01234567-89ab-cdef-0123-456789abcdef-s1"
    bootstrap_brokers_sasl_iam = "boot-abcdefgh.c1.kafka-serverless.eu-central-1.amazonaws.com:9098"
  }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:one-AbCdEf" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:alarms" }
}
