# The two roles that DMS looks for by name, in every account that uses it.
locals {
  account_roles = var.create_account_roles ? {
    "dms-vpc-role"             = "AmazonDMSVPCManagementRole"
    "dms-cloudwatch-logs-role" = "AmazonDMSCloudWatchLogsRole"
  } : {}
}

data "aws_iam_policy_document" "account_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["dms.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "account" {
  for_each = local.account_roles

  name               = each.key
  assume_role_policy = data.aws_iam_policy_document.account_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "account" {
  for_each = local.account_roles

  role       = aws_iam_role.account[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/${each.value}"
}

# Secrets are read in the name of the region; AWS documents no condition for that.
data "aws_iam_policy_document" "source_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["dms.${local.region}.${data.aws_partition.current.dns_suffix}"]
    }
  }
}

# Targets are written to for endpoints of this account alone (DMS 3.4.7 and later).
data "aws_iam_policy_document" "target_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["dms.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "source" {
  name               = "${var.name}-dms-source"
  description        = "Reads the credentials of the source"
  assume_role_policy = data.aws_iam_policy_document.source_trust.json
  tags               = var.tags
}

data "aws_iam_policy_document" "source" {
  statement {
    sid       = "Credentials"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.source_endpoint.secret_arn]
  }

  dynamic "statement" {
    for_each = var.source_endpoint.secret_kms_key_arn[*]

    content {
      sid       = "KeyOfCredentials"
      actions   = ["kms:Decrypt", "kms:DescribeKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "source" {
  name   = "credentials"
  role   = aws_iam_role.source.id
  policy = data.aws_iam_policy_document.source.json
}

resource "aws_iam_role" "target" {
  name               = "${var.name}-dms-target"
  description        = "Writes to the target"
  assume_role_policy = data.aws_iam_policy_document.target_trust.json
  tags               = var.tags
}

# The tables that the mappings name, and those that DMS makes for what it could not apply.
locals {
  mapped_tables = distinct(flatten([
    for task in values(var.tasks) : [
      for rule in jsondecode(file(task.table_mappings)).rules : rule["target-table-name"]
      if try(rule["rule-type"], "") == "object-mapping" && can(rule["target-table-name"])
    ]
  ]))
  target_tables = concat(local.mapped_tables, ["awsdms_apply_exceptions", "awsdms_full_load_exceptions"])
}

data "aws_iam_policy_document" "target" {
  dynamic "statement" {
    for_each = var.target.engine == "dynamodb" ? ["dynamodb"] : []

    content {
      sid = "TablesOfTheMappings"
      actions = [
        "dynamodb:CreateTable",
        "dynamodb:DeleteItem",
        "dynamodb:DeleteTable",
        "dynamodb:DescribeTable",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
      ]
      resources = [
        for table in local.target_tables : "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${table}"
      ]
    }
  }

  dynamic "statement" {
    for_each = var.target.engine == "dynamodb" ? ["dynamodb"] : []

    content {
      sid       = "ListTables"
      actions   = ["dynamodb:ListTables"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = var.target.s3[*]

    content {
      sid       = "Files"
      actions   = ["s3:DeleteObject", "s3:PutObject", "s3:PutObjectTagging"]
      resources = ["arn:${local.partition}:s3:::${statement.value.bucket}/${statement.value.folder}/*"]
    }
  }

  dynamic "statement" {
    for_each = var.target.s3[*]

    content {
      sid       = "ListFiles"
      actions   = ["s3:ListBucket"]
      resources = ["arn:${local.partition}:s3:::${statement.value.bucket}"]
    }
  }

  dynamic "statement" {
    for_each = var.target.s3 == null ? [] : var.target.s3.kms_key_arn[*]

    content {
      sid       = "KeyOfFiles"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "target" {
  name   = "target"
  role   = aws_iam_role.target.id
  policy = data.aws_iam_policy_document.target.json

  lifecycle {
    precondition {
      condition     = var.target.engine != "dynamodb" || length(local.mapped_tables) > 0
      error_message = "No object-mapping rule names a target table: DMS would write to none."
    }
  }
}
