locals {
  told        = var.alarm_topic_arn[*]
  instance_id = aws_dms_replication_instance.this.replication_instance_id
  following   = { for name, task in var.tasks : name => task if task.migration_type != "full-load" }
  lag_by_task = { for pair in setproduct(keys(local.following), ["CDCLatencySource", "CDCLatencyTarget"]) : "${pair[0]}-${pair[1]}" => { task = pair[0], metric = pair[1] } }
  instance_has = {
    CPUUtilization   = { limit = var.alarms.cpu_percent, comparison = "GreaterThanThreshold" }
    FreeStorageSpace = { limit = var.alarms.free_storage_bytes, comparison = "LessThanThreshold" }
    SwapUsage        = { limit = var.alarms.swap_bytes, comparison = "GreaterThanThreshold" }
  }
}

# A task is told apart by the last part of its ARN, not by its name. One that failed sends nothing,
# so that silence counts as lag.
resource "aws_cloudwatch_metric_alarm" "lag" {
  for_each = local.lag_by_task

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.metric} of ${each.value.task} is above ${var.alarms.lag_seconds} s, or the task does not run"
  namespace           = "AWS/DMS"
  metric_name         = each.value.metric
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarms.lag_seconds
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "breaching"
  alarm_actions       = local.told
  ok_actions          = local.told
  tags                = var.tags

  dimensions = {
    ReplicationInstanceIdentifier = local.instance_id
    ReplicationTaskIdentifier     = reverse(split(":", aws_dms_replication_task.this[each.value.task].replication_task_arn))[0]
  }
}

resource "aws_cloudwatch_metric_alarm" "instance" {
  for_each = local.instance_has

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.key} of the replication instance"
  namespace           = "AWS/DMS"
  metric_name         = each.key
  statistic           = "Average"
  comparison_operator = each.value.comparison
  threshold           = each.value.limit
  period              = 300
  evaluation_periods  = 3
  alarm_actions       = local.told
  ok_actions          = local.told
  tags                = var.tags

  dimensions = {
    ReplicationInstanceIdentifier = local.instance_id
  }
}

# There is no metric of a task's state: its failure is an event.
resource "aws_dms_event_subscription" "failure" {
  count = length(local.told)

  name             = "${var.name}-failure"
  sns_topic_arn    = local.told[count.index]
  source_type      = "replication-task"
  source_ids       = [for task in aws_dms_replication_task.this : task.replication_task_id]
  event_categories = ["failure"]
  enabled          = true
  tags             = var.tags
}
