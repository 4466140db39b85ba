output "replication_instance_arn" {
  description = "Of the replication instance."
  value       = aws_dms_replication_instance.this.replication_instance_arn
}

output "task_arns" {
  description = "Of each task, by its name in `tasks`: what starts, stops and watches them."
  value       = { for name, task in aws_dms_replication_task.this : name => task.replication_task_arn }
}

output "source_endpoint_arn" {
  description = "Of the source."
  value       = aws_dms_endpoint.source.endpoint_arn
}

output "target_endpoint_arn" {
  description = "Of the target."
  value       = local.target_endpoint_arn
}

output "target_tables" {
  description = "The DynamoDB tables that the mappings name."
  value       = local.mapped_tables
}

output "security_group_id" {
  description = "To be let in by the source."
  value       = aws_security_group.this.id
}

output "alarm_names" {
  description = "Of all alarms."
  value = concat(
    [for alarm in aws_cloudwatch_metric_alarm.lag : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.instance : alarm.alarm_name],
  )
}
