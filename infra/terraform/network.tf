data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
}

resource "aws_dms_replication_subnet_group" "this" {
  replication_subnet_group_id          = "${var.name}-dms"
  replication_subnet_group_description = "Subnets of ${var.name}"
  subnet_ids                           = var.subnet_ids
  tags                                 = var.tags

  # DMS looks for its role when the group is made.
  depends_on = [aws_iam_role_policy_attachment.account]
}

# Nothing comes in: the instance opens every connection itself.
resource "aws_security_group" "this" {
  name        = "${var.name}-dms"
  description = "Replication instance of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "source" {
  for_each = toset(var.source_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "source"
  ip_protocol       = "tcp"
  from_port         = var.source_endpoint.port
  to_port           = var.source_endpoint.port
  cidr_ipv4         = each.value
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  for_each = toset(var.aws_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "endpoints of AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
  tags              = var.tags
}
