# Production: nothing alone. Two gateways in two zones, a catalog with a stand-by, and nothing that a slip deletes.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }

  # The rest is told by `terraform init -backend-config=…`, since it is the account's.
  backend "s3" {
    key          = "prod/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { project = "trending-now", environment = "prod" }
  }
}

module "house" {
  source = "../../modules/house"

  environment              = "prod"
  region                   = var.region
  account_id               = var.account_id
  zones                    = var.zones
  images                   = var.images
  gateway_runtime          = var.gateway_runtime
  certificate_arn          = var.certificate_arn
  gateway_callers          = var.gateway_callers
  partitions               = 6
  overrides                = local.overrides
  secrets                  = var.secrets
  catalog_class            = "db.t4g.medium"
  catalog_password         = var.catalog_password
  catalog_password_version = var.catalog_password_version
  emails                   = var.emails
  runbooks                 = var.runbooks
  github_repository        = var.github_repository
  github_provider_arn      = var.github_provider_arn
  state_bucket             = var.state_bucket
  log_days                 = 90
}

locals {
  overrides = merge({ inference = { replicas = { min = 2, max = 8 } } }, var.overrides)
}
