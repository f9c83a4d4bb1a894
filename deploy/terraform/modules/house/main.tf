# The whole house in one environment. envs/ say what differs between them.

terraform {
  required_version = ">= 1.11" # write-only values

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

locals {
  prod      = var.environment == "prod"
  name      = "trending-${var.environment}"
  namespace = "TrendingNow/${var.environment}"
  contract  = jsondecode(file("${path.module}/../../../../docs/asyncapi.json"))
  gateway   = one(concat(module.gateway_ecs, module.gateway_apprunner))
  cluster   = { name = aws_ecs_cluster.this.name, arn = aws_ecs_cluster.this.arn }
}

module "network" {
  source = "../network"

  name                = local.name
  region              = var.region
  zones               = var.zones
  nat_per_zone        = local.prod
  interface_endpoints = local.prod
}

module "storage" {
  source = "../storage"

  bucket        = "${local.name}-${var.account_id}"
  force_destroy = !local.prod
  raw_days      = var.raw_days
}

module "registry" {
  source = "../registry"

  name         = local.name
  services     = keys(local.services)
  force_delete = !local.prod
}

module "secrets" {
  source = "../secrets"

  name          = local.name
  names         = local.secret_names
  recovery_days = local.prod ? 30 : 0
}

module "kafka" {
  source = "../kafka"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.network.tasks_security_group_id
  existing                 = var.kafka
  services                 = keys(local.services)
  contract                 = local.contract
}

module "catalog" {
  source = "../catalog"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.network.tasks_security_group_id
  instance_class           = var.catalog_class
  multi_az                 = local.prod
  deletion_protection      = local.prod
  backup_days              = local.prod ? 14 : 1
  password                 = var.catalog_password
  password_version         = var.catalog_password_version
}

resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = "disabled" # services tell more of themselves, by METRICS_EMF_NAMESPACE
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

module "consumers" {
  source = "../consumers"

  name               = local.name
  region             = var.region
  account_id         = var.account_id
  cluster            = local.cluster
  consumers          = { for service, each in local.running : service => each if service != "inference" }
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.network.tasks_security_group_id]
  autoscaling        = var.autoscaling
  metrics_namespace  = local.namespace
  log_days           = var.log_days

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

module "gateway_ecs" {
  source = "../gateway_ecs"
  count  = var.gateway_runtime == "ecs" && contains(keys(var.images), "inference") ? 1 : 0

  name                    = local.name
  region                  = var.region
  account_id              = var.account_id
  cluster                 = local.cluster
  gateway                 = local.running["inference"]
  vpc_id                  = module.network.vpc_id
  public_subnet_ids       = module.network.public_subnet_ids
  private_subnet_ids      = module.network.private_subnet_ids
  tasks_security_group_id = module.network.tasks_security_group_id
  certificate_arn         = var.certificate_arn == null ? "" : var.certificate_arn
  callers                 = var.gateway_callers
  requests                = var.gateway_requests
  protected               = local.prod
  autoscaling             = var.autoscaling
  log_days                = var.log_days

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

module "gateway_apprunner" {
  source = "../gateway_apprunner"
  count  = var.gateway_runtime == "apprunner" && contains(keys(var.images), "inference") ? 1 : 0

  name               = local.name
  account_id         = var.account_id
  gateway            = local.running["inference"]
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = [module.network.tasks_security_group_id]
}

module "observability" {
  source = "../observability"

  name            = local.name
  region          = var.region
  account_id      = var.account_id
  namespace       = local.namespace
  services        = keys(var.images)
  log_groups      = merge(module.consumers.log_groups, try(local.gateway.log_groups, {}))
  gateway_runtime = contains(keys(var.images), "inference") ? var.gateway_runtime : null
  gateway         = try(local.gateway.metrics, null)
  emails          = var.emails
  runbooks        = var.runbooks
}

module "ci_oidc" {
  source = "../ci_oidc"
  count  = var.github_repository == null ? 0 : 1

  name            = local.name
  environment     = var.environment
  repository      = var.github_repository
  provider_arn    = var.github_provider_arn
  region          = var.region
  account_id      = var.account_id
  repository_arns = values(module.registry.arns)
  role_arns       = concat(module.consumers.role_arns, try(local.gateway.role_arns, []))
  state_bucket    = var.state_bucket
  bucket_arn      = module.storage.arn
}

# A replica more than there are partitions has nothing to do.
check "replicas" {
  assert {
    condition     = alltrue([for service, each in local.sizes : each.replicas.max <= var.partitions if service != "inference"])
    error_message = "No consumer can use more replicas than its topics have partitions (partitions = ${var.partitions})."
  }
}
