resource "aws_dms_replication_instance" "this" {
  replication_instance_id      = "${var.name}-dms"
  replication_instance_class   = var.instance.class
  allocated_storage            = var.instance.storage_gb
  engine_version               = var.instance.engine_version
  multi_az                     = var.instance.multi_az
  kms_key_arn                  = var.instance.kms_key_arn
  preferred_maintenance_window = var.instance.maintenance_window
  auto_minor_version_upgrade   = true
  publicly_accessible          = false
  replication_subnet_group_id  = aws_dms_replication_subnet_group.this.id
  vpc_security_group_ids       = [aws_security_group.this.id]
  tags                         = var.tags

  depends_on = [aws_iam_role_policy_attachment.account]
}

resource "aws_dms_replication_task" "this" {
  for_each = var.tasks

  replication_task_id       = "${var.name}-${each.key}"
  migration_type            = each.value.migration_type
  replication_instance_arn  = aws_dms_replication_instance.this.replication_instance_arn
  source_endpoint_arn       = aws_dms_endpoint.source.endpoint_arn
  target_endpoint_arn       = local.target_endpoint_arn
  table_mappings            = file(each.value.table_mappings)
  replication_task_settings = each.value.settings == null ? null : file(each.value.settings)
  cdc_start_position        = each.value.cdc_start_position
  start_replication_task    = each.value.start
  tags                      = var.tags
}
