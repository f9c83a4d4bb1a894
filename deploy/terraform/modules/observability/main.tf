# What CloudWatch knows of the house: metrics from log lines (filters.json) and from lines that are
# metrics (trending_shared.emf), alarms (alarms.json), one dashboard. Both files are data, so that tests
# hold them against what the services print.

variable "name" {
  type = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "namespace" {
  description = "What METRICS_EMF_NAMESPACE is set to; metrics from log lines go there as well."
  type        = string
}

variable "services" {
  description = "Those that run; what they are called is known before their log groups are."
  type        = set(string)
}

variable "log_groups" {
  description = "By service."
  type        = map(string)
}

variable "gateway_runtime" {
  description = "ecs or apprunner; null while there is no gateway."
  type        = string
  default     = null
}

variable "gateway" {
  description = "What CloudWatch counts of the gateway from outside."
  type = object({
    namespace  = string
    dimensions = map(string)
    requests   = string
    errors     = list(string)
    latency    = string
    second     = number
    hosts      = map(string)
  })
  default = null
}

variable "emails" {
  description = "Who is told of alarms; each has to confirm once."
  type        = set(string)
}

variable "runbooks" {
  description = "Where docs/runbooks can be read."
  type        = string
}

locals {
  # A key that is known at plan time, whatever the groups will be called.
  filters = merge([for filter, told in jsondecode(file("${path.module}/filters.json")) : {
    for service in var.services : "${filter}-${service}" => merge(told, { name = filter, service = service })
    if told.of == service || told.of == "consumers" && service != "inference"
  }]...)

  alarms = merge([for alarm, told in jsondecode(file("${path.module}/alarms.json")) : {
    for service in lookup(told, "of", ["log"]) :
    (length(lookup(told, "of", [])) > 1 ? "${alarm}-${service}" : alarm) => {
      alarm      = alarm
      runbook    = lookup(told, "runbook", alarm)
      metric     = lookup(told, "metric", lookup(told, "log", null))
      dimensions = service == "log" ? {} : { service = service }
      statistic  = told.statistic
      comparison = told.comparison
      threshold  = told.threshold
      period     = told.minutes * 60
      times      = told.times
      missing    = lookup(told, "missing", "notBreaching")
    }
    if service == "log" || contains(var.services, service)
  }]...)

  told = sort(distinct([for each in local.filters : each.name]))
  link = "${var.runbooks}/"
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.filters

  name           = "${var.name}-${each.key}"
  log_group_name = var.log_groups[each.value.service]
  pattern        = each.value.pattern

  metric_transformation {
    namespace     = var.namespace
    name          = each.value.name
    value         = lookup(each.value, "value", "1")
    default_value = 0
    unit          = "Count"
  }
}

# CloudWatch may not publish to a topic under AWS's own key, so the topic has one of ours.
resource "aws_kms_key" "alarms" {
  description             = "${var.name}: messages of alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountsOwnPolicies"
        Effect    = "Allow"
        Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
    ]
  })
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.alarms.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "What it means and what to do: ${local.link}${each.value.runbook}.md"
  namespace           = var.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.times
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  depends_on = [aws_cloudwatch_log_metric_filter.this]
}

# One request of a hundred ends with 5xx, of enough to say so.
resource "aws_cloudwatch_metric_alarm" "errors" {
  count = var.gateway_runtime == null ? 0 : 1

  alarm_name          = "${var.name}-GatewayFails"
  alarm_description   = "What it means and what to do: ${local.link}SloBurnsFast.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0.01
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "share"
    label       = "Share of requests answered with 5xx"
    expression  = "IF(requests > 20, (${join(" + ", [for index in range(length(var.gateway.errors)) : "FILL(errors${index}, 0)"])}) / requests, 0)"
    return_data = true
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = var.gateway.namespace
      metric_name = var.gateway.requests
      dimensions  = var.gateway.dimensions
      stat        = "Sum"
      period      = 60
    }
  }

  dynamic "metric_query" {
    for_each = var.gateway.errors

    content {
      id = "errors${metric_query.key}"

      metric {
        namespace   = var.gateway.namespace
        metric_name = metric_query.value
        dimensions  = var.gateway.dimensions
        stat        = "Sum"
        period      = 60
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  count = var.gateway_runtime == null ? 0 : 1

  alarm_name          = "${var.name}-GatewaySlow"
  alarm_description   = "What it means and what to do: ${local.link}GatewaySlow.md"
  namespace           = var.gateway.namespace
  metric_name         = var.gateway.latency
  dimensions          = var.gateway.dimensions
  extended_statistic  = "p99"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.gateway.second
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 8
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  # Of few requests the slowest is no p99.
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "hosts" {
  for_each = var.gateway_runtime != "ecs" ? {} : {
    GatewayUnhealthy = { metric = "UnHealthyHostCount", statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = 0, missing = "notBreaching", times = 5 }
    GatewayGone      = { metric = "HealthyHostCount", statistic = "Minimum", comparison = "LessThanThreshold", threshold = 1, missing = "breaching", times = 2 }
  }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "What it means and what to do: ${local.link}ServiceDown.md"
  namespace           = var.gateway.namespace
  metric_name         = each.value.metric
  dimensions          = var.gateway.hosts
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.times
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  seen_from_outside = [for panel in [
    { title = "Requests, and those answered with 5xx", stat = "Sum", names = try(concat([var.gateway.requests], var.gateway.errors), []) },
    { title = "Latency of one request of a hundred", stat = "p99", names = try([var.gateway.latency], []) },
    ] : {
    title = panel.title
    stat  = panel.stat
    metrics = [for name in panel.names :
    concat([var.gateway.namespace, name], flatten([for label, value in var.gateway.dimensions : [label, value]]))]
  }]
  consumers = sort([for service in var.services : service if service != "inference"])
  told_by_services = [
    { title = "Records that wait", stat = "Average", metrics = [for each in local.consumers : [var.namespace, "trending_consumer_lag", "service", each]] },
    { title = "Stuck consumers", stat = "Maximum", metrics = [for each in local.consumers : [var.namespace, "trending_consumer_stuck", "service", each]] },
    { title = "Events, by what became of them", stat = "Sum", metrics = [for pair in setproduct(local.consumers, ["handled", "postponed", "parked"]) :
    [var.namespace, "trending_events_consumed_total", "service", pair[0], "outcome", pair[1]]] },
    { title = "Texts, and those that got no genre", stat = "Sum", metrics = [for metric in ["trending_inference_texts_total", "trending_inference_abstained_total"] :
    [var.namespace, metric, "service", "inference"]] },
    { title = "A model is loaded; a version is broken", stat = "Maximum", metrics = [for metric in ["trending_inference_model_loaded", "trending_inference_version_broken"] :
    [var.namespace, metric, "service", "inference"]] },
    { title = "Dollars for the language model", stat = "Sum", metrics = [[var.namespace, "trending_inference_llm_cost_usd_total", "service", "inference"]] },
    { title = "Windows of predictions", stat = "Sum", metrics = [for verdict in ["steady", "drifted"] :
    [var.namespace, "trending_monitor_windows_total", "service", "monitor", "verdict", verdict]] },
    { title = "Pages, by what became of them", stat = "Sum", metrics = [for outcome in ["scraped", "unavailable", "rejected"] :
    [var.namespace, "trending_scraper_pages_total", "service", "scraper", "outcome", outcome]] },
    { title = "Trainings", stat = "Sum", metrics = [for outcome in ["promoted", "approved", "refused", "failed"] :
    [var.namespace, "trending_trainer_runs_total", "service", "trainer", "outcome", outcome]] },
    { title = "By the log", stat = "Sum", metrics = [for name in local.told : [var.namespace, name]] },
  ]
  panels = [for panel in concat(local.seen_from_outside, local.told_by_services) : panel if length(panel.metrics) > 0]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type = "alarm", x = 0, y = 0, width = 24, height = 4
        properties = { title = "Alarms", alarms = concat(
          [for each in aws_cloudwatch_metric_alarm.this : each.arn],
          aws_cloudwatch_metric_alarm.errors[*].arn,
          aws_cloudwatch_metric_alarm.latency[*].arn,
          [for each in aws_cloudwatch_metric_alarm.hosts : each.arn],
        ) }
      }],
      [for index, panel in local.panels : {
        type = "metric", x = index % 2 * 12, y = 4 + floor(index / 2) * 6, width = 12, height = 6
        properties = {
          title  = panel.title, stat = panel.stat, metrics = panel.metrics
          region = var.region, period = 300, view = "timeSeries"
        }
      }],
    )
  })
}

output "topic_arn" {
  value = aws_sns_topic.alarms.arn
}

output "metrics" {
  description = "Every metric in our namespace that an alarm or the dashboard names, with its labels."
  value = distinct(concat(
    [for each in local.alarms : { name = each.metric, labels = each.dimensions }],
    flatten([for panel in local.told_by_services : [for metric in panel.metrics : {
      name   = metric[1]
      labels = { for index in range(2, length(metric), 2) : metric[index] => metric[index + 1] }
    }]]),
  ))
}
