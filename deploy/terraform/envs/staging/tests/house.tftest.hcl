# Staging as a whole, against a provider that makes everything up. What is asked of its resources one by
# one is in tests/terraform, which reads what these runs leave.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  account_id        = "123456789012"
  certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
  catalog_password  = "0123456789abcdef01234567"
  emails            = ["somebody@example.org"]
  github_repository = "owner/trending-now"
  images = {
    scraper    = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
    cleaner    = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
    featurizer = "sha256:0000000000000000000000000000000000000000000000000000000000000003"
    trainer    = "sha256:0000000000000000000000000000000000000000000000000000000000000004"
    inference  = "sha256:0000000000000000000000000000000000000000000000000000000000000005"
    monitor    = "sha256:0000000000000000000000000000000000000000000000000000000000000006"
  }
}

run "before_there_are_images" {
  command = plan

  variables {
    images = {}
  }

  assert {
    condition     = length(output.house.containers) == 0 && output.house.gateway_url == null
    error_message = "A service is there that has no image."
  }
}

run "on_ecs" {
  command = apply

  assert {
    condition     = toset(keys(output.house.containers)) == toset(keys(var.images))
    error_message = "Not every service with an image has a container."
  }

  assert {
    condition     = endswith(output.house.gateway_url, ".elb.amazonaws.com")
    error_message = "The gateway isn't behind the load balancer."
  }

  assert {
    condition     = alltrue([for each in output.house.containers : can(regex("@sha256:[0-9a-f]{64}$", each.image))])
    error_message = "A container runs an image that isn't named by its digest."
  }
}
