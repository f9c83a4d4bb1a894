mock_provider "aws" {
  source = "../mocks"
}

variables {
  name                     = "trending-test"
  vpc_id                   = "vpc-1"
  subnet_ids               = ["subnet-1", "subnet-2"]
  client_security_group_id = "sg-tasks"
}

run "kafka_asks_who_one_is_and_lets_each_do_its_own" {
  command = apply

  module {
    source = "../modules/kafka"
  }

  variables {
    services = ["scraper", "cleaner", "inference"]
    contract = {
      operations = {
        "scraper-receives-scrape-jobs"     = { action = "receive", channel = { "$ref" = "#/channels/scrape-jobs" } }
        "scraper-sends-titles-scraped"     = { action = "send", channel = { "$ref" = "#/channels/titles-scraped" } }
        "cleaner-receives-titles-scraped"  = { action = "receive", channel = { "$ref" = "#/channels/titles-scraped" } }
        "cleaner-sends-titles-cleaned"     = { action = "send", channel = { "$ref" = "#/channels/titles-cleaned" } }
        "inference-sends-scrape-jobs"      = { action = "send", channel = { "$ref" = "#/channels/scrape-jobs" } }
        "operators-sends-titles-corrected" = { action = "send", channel = { "$ref" = "#/channels/titles-corrected" } }
      }
    }
  }

  assert {
    condition     = aws_msk_serverless_cluster.this[0].client_authentication[0].sasl[0].iam[0].enabled
    error_message = "Kafka doesn't ask by IAM."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this[0].referenced_security_group_id == "sg-tasks" && aws_vpc_security_group_ingress_rule.this[0].from_port == 9098
    error_message = "Others than tasks reach Kafka."
  }

  assert {
    condition     = output.topics["cleaner"].reads == tolist(["titles-scraped", "*-cleaner-retry-*", "*-cleaner-dlq"])
    error_message = "The cleaner reads other topics than its own."
  }

  assert {
    condition     = output.topics["cleaner"].writes == tolist(["titles-cleaned", "*-cleaner-retry-*", "*-cleaner-dlq"])
    error_message = "The cleaner writes other topics than its own."
  }

  assert {
    condition     = output.topics["inference"].writes == tolist(["scrape-jobs"])
    error_message = "The gateway, which consumes nothing, has topics for what it couldn't handle."
  }

  assert {
    condition = alltrue(flatten([for policy in values(output.policies) : [
      for each in jsondecode(policy).Statement : [for action in each.Action : !strcontains(action, "*") && !strcontains(action, "Delete") && !startswith(action, "kafka-cluster:AlterCluster")]
    ]]))
    error_message = "A service may do more with Kafka than read, write and create."
  }

  assert {
    condition     = [for each in jsondecode(output.policies["scraper"]).Statement : each.Sid if startswith(each.Sid, "Schedule")] == ["ScheduleInTransactions"]
    error_message = "The scraper can't publish recurring jobs."
  }
}

run "the_catalog_is_encrypted_private_and_kept" {
  command = apply

  module {
    source = "../modules/catalog"
  }

  variables {
    instance_class      = "db.t4g.micro"
    multi_az            = true
    deletion_protection = true
    backup_days         = 14
    password            = "0123456789abcdef01234567"
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible
    error_message = "The catalog isn't encrypted, or is public."
  }

  assert {
    condition     = aws_db_instance.this.password == null && aws_db_instance.this.password_wo == null
    error_message = "The password is in the state."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier != null
    error_message = "The catalog can be deleted by a slip."
  }

  assert {
    condition     = one([for each in aws_db_parameter_group.this.parameter : each.value if each.name == "rds.force_ssl"]) == "1"
    error_message = "PostgreSQL takes connections without TLS."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this.referenced_security_group_id == "sg-tasks"
    error_message = "Others than tasks reach the catalog."
  }
}

run "a_password_is_long_and_fits_into_an_address" {
  command = plan

  module {
    source = "../modules/catalog"
  }

  variables {
    instance_class      = "db.t4g.micro"
    multi_az            = false
    deletion_protection = false
    backup_days         = 1
    password            = "p@ssword/"
  }

  expect_failures = [var.password]
}

run "there_are_backups" {
  command = plan

  module {
    source = "../modules/catalog"
  }

  variables {
    instance_class      = "db.t4g.micro"
    multi_az            = false
    deletion_protection = false
    backup_days         = 0
  }

  expect_failures = [var.backup_days]
}
