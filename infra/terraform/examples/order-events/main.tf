# Order events of SQL Server to DynamoDB: four tasks, each with a range of ids of one view.
#
#   replication-assets secrets put prod-ordersvc-dms --to secrets-manager --region eu-west-1 \
#     --field password --with username=DMSMigrationUser --with host=10.251.6.91 --with port=1433
#   replication-assets dms lint mappings/*.json task_settings.json --target dynamodb

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "alarm_topic_arn" {
  type    = string
  default = null
}

# The secret's ARN alone: its value is never read by Terraform.
data "aws_secretsmanager_secret" "source" {
  name = "prod-ordersvc-dms"
}

module "order_events" {
  source = "../.."

  name            = "order-events-prod"
  vpc_id          = var.vpc_id
  subnet_ids      = var.subnet_ids
  source_cidrs    = ["10.251.6.91/32"]
  alarm_topic_arn = var.alarm_topic_arn

  source_endpoint = {
    engine     = "sqlserver"
    database   = "ECommerce_Order"
    port       = 1433
    secret_arn = data.aws_secretsmanager_secret.source.arn
  }

  tasks = {
    for number in range(1, 5) : "range-${number}" => {
      table_mappings = "${path.module}/mappings/table_mappings${number}.json"
      settings       = "${path.module}/task_settings.json"
    }
  }
}

output "task_arns" {
  value = module.order_events.task_arns
}

output "target_tables" {
  value = module.order_events.target_tables
}
