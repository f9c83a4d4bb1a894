# Staging: as small as it works, and gone without a trace when destroyed. Trainings run on spare machines.

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
    key          = "staging/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { project = "trending-now", environment = "staging" }
  }
}

module "house" {
  source = "../../modules/house"

  environment              = "staging"
  region                   = var.region
  account_id               = var.account_id
  zones                    = var.zones
  images                   = var.images
  gateway_runtime          = var.gateway_runtime
  certificate_arn          = var.certificate_arn
  gateway_callers          = var.gateway_callers
  partitions               = 3
  overrides                = local.overrides
  secrets                  = var.secrets
  catalog_class            = "db.t4g.micro"
  catalog_password         = var.catalog_password
  catalog_password_version = var.catalog_password_version
  emails                   = var.emails
  runbooks                 = var.runbooks
  github_repository        = var.github_repository
  github_provider_arn      = var.github_provider_arn
  state_bucket             = var.state_bucket
  log_days                 = 14
}

locals {
  # A training that is taken away begins anew: its lease runs out.
  overrides = merge({ trainer = { spot = true }, inference = { replicas = { min = 1, max = 2 } } }, var.overrides)
}
