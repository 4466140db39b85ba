# `terraform init && terraform test` in the folder above: the provider's schema is real, AWS is not.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }

  mock_resource "aws_dms_replication_instance" {
    defaults = { replication_instance_arn = "arn:aws:dms:eu-west-1:123456789012:rep:MOCKED" }
  }

  mock_resource "aws_dms_endpoint" {
    defaults = { endpoint_arn = "arn:aws:dms:eu-west-1:123456789012:endpoint:MOCKED" }
  }

  mock_resource "aws_dms_s3_endpoint" {
    defaults = { endpoint_arn = "arn:aws:dms:eu-west-1:123456789012:endpoint:FILES" }
  }

  mock_resource "aws_dms_replication_task" {
    defaults = { replication_task_arn = "arn:aws:dms:eu-west-1:123456789012:task:MOCKEDTASK" }
  }
}

variables {
  name         = "order-events-prod"
  vpc_id       = "vpc-0123456789abcdef0"
  subnet_ids   = ["subnet-0a", "subnet-0b"]
  source_cidrs = ["10.251.6.91/32"]

  source_endpoint = {
    engine     = "sqlserver"
    database   = "ECommerce_Order"
    port       = 1433
    secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-ordersvc-dms-AbCdEf"
  }

  tasks = {
    range-1 = {
      table_mappings = "examples/order-events/mappings/table_mappings1.json"
      settings       = "examples/order-events/task_settings.json"
    }
    range-2 = { table_mappings = "examples/order-events/mappings/table_mappings2.json" }
    range-3 = { table_mappings = "examples/order-events/mappings/table_mappings3.json" }
    range-4 = { table_mappings = "examples/order-events/mappings/table_mappings4.json" }
  }
}

run "each_mapping_is_a_task_and_its_tables_are_all_that_the_target_role_writes" {
  assert {
    condition     = length(aws_dms_replication_task.this) == 4
    error_message = "one task for each file"
  }

  assert {
    condition     = aws_dms_replication_task.this["range-2"].table_mappings == file("examples/order-events/mappings/table_mappings2.json")
    error_message = "mappings are handed over unchanged"
  }

  assert {
    condition     = output.target_tables == tolist(["order-events-prod"])
    error_message = "tables are those of the mappings, each once"
  }

  assert {
    condition = data.aws_iam_policy_document.target.statement[0].resources == toset([
      "arn:aws:dynamodb:eu-west-1:123456789012:table/order-events-prod",
      "arn:aws:dynamodb:eu-west-1:123456789012:table/awsdms_apply_exceptions",
      "arn:aws:dynamodb:eu-west-1:123456789012:table/awsdms_full_load_exceptions",
    ])
    error_message = "no other table may be written"
  }

  assert {
    condition     = aws_dms_endpoint.source.username == null && aws_dms_endpoint.source.server_name == null
    error_message = "who logs in and where is in the secret alone"
  }

  assert {
    condition     = length(aws_iam_role.account) == 0 && length(aws_dms_event_subscription.failure) == 0
    error_message = "roles of the account and notifications are made when they are asked for"
  }

  assert {
    condition     = length(output.alarm_names) == 3
    error_message = "a full load has no lag: three alarms of the instance"
  }
}

run "a_task_that_follows_changes_has_alarms_by_the_id_in_its_arn" {
  variables {
    alarm_topic_arn      = "arn:aws:sns:eu-west-1:123456789012:alarms"
    create_account_roles = true
    tasks = {
      follow = {
        table_mappings = "examples/order-events/mappings/table_mappings1.json"
        migration_type = "full-load-and-cdc"
        start          = true
      }
    }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.lag)) == toset(["follow-CDCLatencySource", "follow-CDCLatencyTarget"])
    error_message = "lag at both ends"
  }

  assert {
    condition = aws_cloudwatch_metric_alarm.lag["follow-CDCLatencySource"].dimensions == tomap({
      ReplicationInstanceIdentifier = "order-events-prod-dms"
      ReplicationTaskIdentifier     = "MOCKEDTASK"
    })
    error_message = "by the identifiers that DMS publishes with"
  }

  assert {
    condition     = aws_dms_event_subscription.failure[0].source_ids == toset(["order-events-prod-follow"])
    error_message = "failures of the tasks are told"
  }

  assert {
    condition     = length(aws_iam_role_policy_attachment.account) == 2
    error_message = "both roles of the account"
  }
}

run "files_in_s3_are_such_as_can_be_captured_from" {
  variables {
    target = {
      engine = "s3"
      s3     = { bucket = "landed", folder = "shop" }
    }
  }

  assert {
    condition     = aws_dms_s3_endpoint.files[0].include_op_for_full_load && aws_dms_s3_endpoint.files[0].timestamp_column_name == "dms_timestamp"
    error_message = "every row says what happened and when"
  }

  assert {
    condition     = data.aws_iam_policy_document.target.statement[0].resources == toset(["arn:aws:s3:::landed/shop/*"])
    error_message = "below the folder alone"
  }

  assert {
    condition     = length(aws_dms_endpoint.dynamodb) == 0
    error_message = "one target"
  }
}

run "an_engine_that_needs_a_password_in_the_state_is_refused" {
  command = plan

  variables {
    source_endpoint = {
      engine     = "sybase"
      database   = "d"
      port       = 5000
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"
    }
  }

  expect_failures = [var.source_endpoint]
}

run "a_password_among_connection_attributes_is_refused" {
  command = plan

  variables {
    source_endpoint = {
      engine                      = "sqlserver"
      database                    = "d"
      port                        = 1433
      secret_arn                  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"
      extra_connection_attributes = "asm_password=x"
    }
  }

  expect_failures = [var.source_endpoint]
}

run "a_certificate_is_wanted_where_it_is_verified" {
  command = plan

  variables {
    source_endpoint = {
      engine     = "postgres"
      database   = "d"
      port       = 5432
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"
      ssl_mode   = "verify-full"
    }
  }

  expect_failures = [var.source_endpoint]
}

run "names_networks_and_targets_that_cannot_be_are_refused" {
  command = plan

  variables {
    name         = "Order_Events"
    vpc_id       = "main"
    subnet_ids   = ["subnet-0a", "subnet-0a"]
    source_cidrs = ["0.0.0.0/0"]
    target       = { engine = "s3" }
  }

  expect_failures = [var.name, var.vpc_id, var.subnet_ids, var.source_cidrs, var.target]
}

run "files_that_are_no_mappings_are_refused" {
  command = plan

  variables {
    tasks = {
      wrong = { table_mappings = "variables.tf", migration_type = "full" }
    }
  }

  expect_failures = [var.tasks]
}
