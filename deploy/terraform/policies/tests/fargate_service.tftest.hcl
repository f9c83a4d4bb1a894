mock_provider "aws" {
  source = "../mocks"
}

variables {
  name               = "trending-test"
  service            = "cleaner"
  region             = "eu-central-1"
  account_id         = "123456789012"
  cluster            = { name = "trending-test", arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/trending-test" }
  image              = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/one@sha256:0000000000000000000000000000000000000000000000000000000000000002"
  repository_arn     = "arn:aws:ecr:eu-central-1:123456789012:repository/one"
  port               = 8102
  cpu                = 512
  memory             = 2048
  disk               = 30
  environment        = { CLEANER_PORT = "8102" }
  secrets            = {}
  policies           = {}
  subnet_ids         = ["subnet-3"]
  security_group_ids = ["sg-tasks"]
  replicas           = { min = 1, max = 3 }
  autoscaling        = true
  log_days           = 14
}

run "a_task_can_change_nothing_but_its_data" {
  command = apply

  module {
    source = "../modules/fargate_service"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem == true
    error_message = "The image can be written to."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "The process keeps capabilities."
  }

  assert {
    condition     = aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    error_message = "The task has a public address."
  }
}

run "a_bad_deploy_is_taken_back_and_a_stop_is_waited_for" {
  command = apply

  module {
    source = "../modules/fargate_service"
  }

  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "A deploy that can't start stays."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout > 45
    error_message = "A service is killed before it has finished its batch."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "A deploy leaves fewer running than there should be."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 14
    error_message = "Logs are kept for another time than was said."
  }
}

run "an_image_is_named_by_digest" {
  command = plan

  module {
    source = "../modules/fargate_service"
  }

  variables {
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/one:v1"
  }

  expect_failures = [var.image]
}

run "a_stop_takes_longer_than_thirty_seconds" {
  command = plan

  module {
    source = "../modules/fargate_service"
  }

  variables {
    stop_timeout = 30
  }

  expect_failures = [var.stop_timeout]
}

run "at_most_is_not_fewer_than_at_least" {
  command = plan

  module {
    source = "../modules/fargate_service"
  }

  variables {
    replicas = { min = 3, max = 1 }
  }

  expect_failures = [var.replicas]
}
