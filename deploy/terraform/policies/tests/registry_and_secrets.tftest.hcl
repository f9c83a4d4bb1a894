mock_provider "aws" {
  source = "../mocks"
}

run "a_tag_means_one_image_for_ever" {
  command = apply

  module {
    source = "../modules/registry"
  }

  variables {
    name         = "trending-test"
    services     = ["cleaner", "inference"]
    force_delete = false
  }

  assert {
    condition     = alltrue([for each in aws_ecr_repository.this : each.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag may be moved to another image."
  }

  assert {
    condition     = alltrue([for each in aws_ecr_repository.this : each.image_scanning_configuration[0].scan_on_push])
    error_message = "An image isn't scanned."
  }

  assert {
    condition     = alltrue([for each in aws_ecr_repository.this : each.encryption_configuration[0].encryption_type != ""])
    error_message = "Images aren't encrypted."
  }

  assert {
    condition = alltrue(flatten([for each in aws_ecr_lifecycle_policy.this : [
      for rule in jsondecode(each.policy).rules : rule.selection.tagStatus == "untagged"
    ]]))
    error_message = "An image that is in service could be deleted for its age."
  }
}

run "a_secret_has_a_place_and_no_value" {
  command = apply

  module {
    source = "../modules/secrets"
  }

  variables {
    name          = "trending-test"
    names         = ["CATALOG_URL", "INFERENCE_API_KEYS"]
    recovery_days = 30
  }

  assert {
    condition     = toset([for each in aws_secretsmanager_secret.this : each.name]) == toset(["trending-test/CATALOG_URL", "trending-test/INFERENCE_API_KEYS"])
    error_message = "Secrets aren't named as the variables they become."
  }

  assert {
    condition     = alltrue([for each in aws_secretsmanager_secret.this : each.recovery_window_in_days == 30])
    error_message = "A deleted secret can't be brought back."
  }
}
