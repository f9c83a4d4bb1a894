mock_provider "aws" {
  source = "../mocks"
}

variables {
  name       = "trending-test"
  region     = "eu-central-1"
  account_id = "123456789012"
  namespace  = "TrendingNow/test"
  services   = ["scraper", "cleaner", "featurizer", "trainer", "inference", "monitor"]
  log_groups = {
    scraper = "/a/scraper", cleaner = "/a/cleaner", featurizer = "/a/featurizer"
    trainer = "/a/trainer", inference = "/a/inference", monitor = "/a/monitor"
  }
  gateway_runtime = "ecs"
  gateway = {
    namespace  = "AWS/ApplicationELB"
    dimensions = { LoadBalancer = "app/trending/0123456789abcdef" }
    requests   = "RequestCount"
    errors     = ["HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"]
    latency    = "TargetResponseTime"
    second     = 1
    hosts      = { LoadBalancer = "app/trending/0123456789abcdef", TargetGroup = "targetgroup/trending/0123456789abcdef" }
  }
  emails   = ["somebody@example.org"]
  runbooks = "https://example.org/runbooks"
}

run "every_alarm_tells_somebody_and_says_what_to_do" {
  command = apply

  module {
    source = "../modules/observability"
  }

  assert {
    condition = alltrue([for each in concat(
      values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency, values(aws_cloudwatch_metric_alarm.hosts),
    ) : each.alarm_actions == toset([aws_sns_topic.alarms.arn]) && each.ok_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm tells nobody."
  }

  assert {
    condition = alltrue([for each in concat(
      values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency, values(aws_cloudwatch_metric_alarm.hosts),
    ) : fileexists("../../../docs/runbooks/${basename(each.alarm_description)}")])
    error_message = "An alarm links to a runbook that isn't there."
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.alarms.arn && aws_kms_key.alarms.enable_key_rotation
    error_message = "Messages of alarms aren't encrypted."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.alarms) == 1
    error_message = "Nobody hears of alarms."
  }
}

run "silence_is_an_alarm_where_something_should_be_heard" {
  command = apply

  module {
    source = "../modules/observability"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["ReportsMissing"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["ReportsMissing"].period == 86400
    error_message = "That there are no drift reports is told by nobody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["DriftReported"].metric_name == "ReportsWithDrift" && aws_cloudwatch_metric_alarm.this["DriftReported"].treat_missing_data == "notBreaching"
    error_message = "A report with drift is told by nobody."
  }

  assert {
    condition     = alltrue([for name in ["ServiceDown-cleaner", "ServiceDown-monitor", "GatewayDown"] : aws_cloudwatch_metric_alarm.this[name].treat_missing_data == "breaching"])
    error_message = "A service that says nothing isn't missed."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.hosts["GatewayGone"].treat_missing_data == "breaching"
    error_message = "A gateway without a healthy task isn't missed."
  }
}

run "every_filter_is_of_a_log_that_there_is" {
  command = apply

  module {
    source = "../modules/observability"
  }

  assert {
    condition     = toset([for each in aws_cloudwatch_log_metric_filter.this : each.log_group_name]) == toset(values(var.log_groups))
    error_message = "A log isn't looked at, or one that there isn't is."
  }

  assert {
    condition     = alltrue([for each in aws_cloudwatch_log_metric_filter.this : each.metric_transformation[0].namespace == var.namespace && each.metric_transformation[0].default_value == "0"])
    error_message = "A filter counts elsewhere, or tells nothing while nothing happens."
  }
}

run "what_does_not_run_is_not_missed" {
  command = apply

  module {
    source = "../modules/observability"
  }

  variables {
    services        = ["cleaner"]
    log_groups      = { cleaner = "/a/cleaner" }
    gateway_runtime = null
    gateway         = null
  }

  assert {
    condition     = length([for name in keys(aws_cloudwatch_metric_alarm.this) : name if startswith(name, "ServiceDown")]) == 1
    error_message = "A service that isn't there is missed."
  }
}
