# Credentials come from the secret when DMS connects: neither the state nor a plan ever has them.
resource "aws_dms_endpoint" "source" {
  endpoint_id                     = "${var.name}-source"
  endpoint_type                   = "source"
  engine_name                     = var.source_endpoint.engine
  database_name                   = var.source_endpoint.database
  ssl_mode                        = var.source_endpoint.ssl_mode
  certificate_arn                 = var.source_endpoint.certificate_arn
  extra_connection_attributes     = var.source_endpoint.extra_connection_attributes
  secrets_manager_arn             = var.source_endpoint.secret_arn
  secrets_manager_access_role_arn = aws_iam_role.source.arn
  tags                            = var.tags

  depends_on = [aws_iam_role_policy.source]
}

resource "aws_dms_endpoint" "dynamodb" {
  count = var.target.engine == "dynamodb" ? 1 : 0

  endpoint_id         = "${var.name}-target"
  endpoint_type       = "target"
  engine_name         = "dynamodb"
  service_access_role = aws_iam_role.target.arn
  tags                = var.tags

  depends_on = [aws_iam_role_policy.target]
}

# Files as they can be captured from: every row says what happened to it, when, and in which columns.
resource "aws_dms_s3_endpoint" "files" {
  count = var.target.engine == "s3" ? 1 : 0

  endpoint_id                       = "${var.name}-target"
  endpoint_type                     = "target"
  bucket_name                       = var.target.s3.bucket
  bucket_folder                     = var.target.s3.folder
  expected_bucket_owner             = coalesce(var.target.s3.owner, local.account)
  service_access_role_arn           = aws_iam_role.target.arn
  data_format                       = var.target.s3.format
  add_column_name                   = true
  include_op_for_full_load          = true
  timestamp_column_name             = "dms_timestamp"
  encryption_mode                   = var.target.s3.kms_key_arn == null ? "SSE_S3" : "SSE_KMS"
  server_side_encryption_kms_key_id = var.target.s3.kms_key_arn
  tags                              = var.tags

  depends_on = [aws_iam_role_policy.target]
}

locals {
  target_endpoint_arn = one(concat(aws_dms_endpoint.dynamodb[*].endpoint_arn, aws_dms_s3_endpoint.files[*].endpoint_arn))
}
