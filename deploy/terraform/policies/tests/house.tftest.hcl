# What the house refuses to be told.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment      = "staging"
  region           = "eu-central-1"
  account_id       = "123456789012"
  zones            = ["eu-central-1a", "eu-central-1b"]
  catalog_password = "0123456789abcdef01234567"
  log_days         = 14
}

run "there_are_two_environments" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}

run "an_image_is_named_by_digest" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    images = { cleaner = "v1.2" }
  }

  expect_failures = [var.images]
}

run "a_secret_is_no_plain_setting" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    overrides = { inference = { environment = { OPENAI_API_KEY = "sk-1" } } }
  }

  expect_failures = [var.overrides]
}

run "logs_are_kept_for_a_time_that_cloudwatch_knows" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    log_days = 10
  }

  expect_failures = [var.log_days]
}

run "the_gateway_runs_on_one_of_two" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    gateway_runtime = "lambda"
  }

  expect_failures = [var.gateway_runtime]
}

run "more_replicas_than_partitions_do_nothing" {
  command = plan

  module {
    source = "../modules/house"
  }

  variables {
    partitions = 3
    overrides  = { cleaner = { replicas = { min = 1, max = 5 } } }
  }

  expect_failures = [check.replicas]
}
