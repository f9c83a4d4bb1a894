# The house on moto, which answers in AWS's place on this machine: what it serves is really applied. Where
# it lacks something the differences to staging are these variables, and nothing else.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

# Where moto listens is told by AWS_ENDPOINT_URL.
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "moto"
  secret_key                  = "moto"
  max_retries                 = 1 # what moto hasn't got it answers with 500, which else is tried for many minutes
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variable "catalog_password" {
  type      = string
  default   = null
  ephemeral = true
  sensitive = true
}

resource "aws_acm_certificate" "gateway" {
  domain_name       = "trending.example.org"
  validation_method = "DNS"
}

module "house" {
  source = "../modules/house"

  environment       = "staging"
  region            = "eu-central-1"
  account_id        = "123456789012"
  zones             = ["eu-central-1a", "eu-central-1b"]
  certificate_arn   = aws_acm_certificate.gateway.arn
  catalog_password  = var.catalog_password
  emails            = ["somebody@example.org"]
  github_repository = "owner/trending-now"
  log_days          = 14
  autoscaling       = false # moto can't list the tags of a scalable target
  kafka = {                 # moto's clusters are for ever being created
    arn               = "arn:aws:kafka:eu-central-1:123456789012:cluster/trending/01234567-89ab-cdef-0123-456789abcdef-s1"
    bootstrap_servers = "boot-abcdefgh.c1.kafka-serverless.eu-central-1.amazonaws.com:9098"
  }
  images = {
    scraper    = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
    cleaner    = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
    featurizer = "sha256:0000000000000000000000000000000000000000000000000000000000000003"
    trainer    = "sha256:0000000000000000000000000000000000000000000000000000000000000004"
    inference  = "sha256:0000000000000000000000000000000000000000000000000000000000000005"
    monitor    = "sha256:0000000000000000000000000000000000000000000000000000000000000006"
  }
}

output "house" {
  value = module.house
}
