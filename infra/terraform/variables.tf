variable "name" {
  description = "What everything is called, with a suffix each: order-events-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 40
    error_message = "At most 40 lower-case letters, digits and single hyphens, beginning with a letter: DMS takes no other identifiers."
  }
}

variable "tags" {
  description = "Put on everything that takes tags."
  type        = map(string)
  default     = {}
}

# --- network ---------------------------------------------------------------------------------

variable "vpc_id" {
  description = "The network from which the source can be reached."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "The id of a VPC: vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two availability zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "DMS wants subnets in at least two availability zones."
  }
}

variable "source_cidrs" {
  description = "Where the source is: the instance may open connections there, on the port of the source."
  type        = list(string)

  validation {
    condition     = length(var.source_cidrs) > 0 && alltrue([for each in var.source_cidrs : can(cidrhost(each, 0))])
    error_message = "At least one range, like 10.251.6.91/32."
  }

  validation {
    condition     = !contains(var.source_cidrs, "0.0.0.0/0")
    error_message = "Not the whole Internet: name the network that the source is in."
  }
}

variable "aws_cidrs" {
  description = "Where the endpoints of AWS are reached over HTTPS: the VPC's own range with VPC endpoints, else everywhere."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for each in var.aws_cidrs : can(cidrhost(each, 0))])
    error_message = "Ranges like 10.0.0.0/16."
  }
}

# --- replication instance --------------------------------------------------------------------

variable "instance" {
  description = "The replication instance. Sizes: dms.t3.medium below 100 GB, dms.r5.large to 1 TB, dms.r5.2xlarge above or for many tasks."
  type = object({
    class              = optional(string, "dms.t3.medium")
    storage_gb         = optional(number, 50)
    engine_version     = optional(string)
    multi_az           = optional(bool, false)
    kms_key_arn        = optional(string)
    maintenance_window = optional(string, "sun:10:30-sun:14:30")
  })
  default = {}

  validation {
    condition     = startswith(var.instance.class, "dms.")
    error_message = "A class of DMS: dms.t3.medium."
  }

  validation {
    condition     = var.instance.storage_gb >= 5 && var.instance.storage_gb <= 6144
    error_message = "5 to 6,144 GB."
  }
}

variable "create_account_roles" {
  description = "Make dms-vpc-role and dms-cloudwatch-logs-role, which DMS looks for by these names. Once in an account."
  type        = bool
  default     = false
}

# --- endpoints -------------------------------------------------------------------------------

variable "source_endpoint" {
  description = "The source. Host, port, user and password are in the secret alone; `port` is for the security group."
  type = object({
    engine                      = string
    database                    = string
    port                        = number
    secret_arn                  = string
    secret_kms_key_arn          = optional(string)
    ssl_mode                    = optional(string, "require")
    certificate_arn             = optional(string)
    extra_connection_attributes = optional(string, "")
  })

  validation {
    condition = contains(
      ["aurora", "aurora-postgresql", "mariadb", "mysql", "oracle", "postgres", "sqlserver"],
      var.source_endpoint.engine
    )
    error_message = "An engine that DMS reads credentials from Secrets Manager for: others would need a password in the state."
  }

  validation {
    condition     = can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+", var.source_endpoint.secret_arn))
    error_message = "The ARN of a secret. Store it with `replication-assets secrets put`, outside of Terraform."
  }

  validation {
    condition     = contains(["none", "require", "verify-ca", "verify-full"], var.source_endpoint.ssl_mode)
    error_message = "none, require, verify-ca or verify-full."
  }

  validation {
    condition     = startswith(var.source_endpoint.ssl_mode, "verify-") == (var.source_endpoint.certificate_arn != null)
    error_message = "verify-ca and verify-full take a certificate_arn, and nothing else does."
  }

  validation {
    condition     = var.source_endpoint.engine != "oracle" || contains(["none", "verify-ca"], var.source_endpoint.ssl_mode)
    error_message = "For Oracle DMS knows none and verify-ca alone."
  }

  validation {
    condition     = !can(regex("(?i)password|pwd", var.source_endpoint.extra_connection_attributes))
    error_message = "No password here: it would stand in the state and in every plan."
  }
}

variable "target" {
  description = "Where DMS writes: the DynamoDB tables that the mappings name, or files in S3 to be captured from. `owner` is the account of the bucket, if another one."
  type = object({
    engine = string
    s3 = optional(object({
      bucket      = string
      folder      = string
      format      = optional(string, "parquet")
      owner       = optional(string)
      kms_key_arn = optional(string)
    }))
  })
  default = { engine = "dynamodb" }

  validation {
    condition     = contains(["dynamodb", "s3"], var.target.engine)
    error_message = "dynamodb or s3."
  }

  validation {
    condition     = (var.target.engine == "s3") == (var.target.s3 != null)
    error_message = "An s3 target has bucket and folder, a dynamodb target has neither."
  }

  validation {
    condition     = var.target.s3 == null ? true : contains(["csv", "parquet"], var.target.s3.format)
    error_message = "csv or parquet."
  }
}

# --- tasks -----------------------------------------------------------------------------------

variable "tasks" {
  description = "One task for each entry, from files as `replication-assets dms lint` passes them. `start` runs it once it is made."
  type = map(object({
    table_mappings     = string
    settings           = optional(string)
    migration_type     = optional(string, "full-load")
    start              = optional(bool, false)
    cdc_start_position = optional(string)
  }))

  validation {
    condition     = length(var.tasks) > 0 && alltrue([for name in keys(var.tasks) : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", name))])
    error_message = "At least one task, called in lower-case letters, digits and single hyphens."
  }

  validation {
    condition     = alltrue([for task in values(var.tasks) : contains(["full-load", "cdc", "full-load-and-cdc"], task.migration_type)])
    error_message = "migration_type is full-load, cdc or full-load-and-cdc."
  }

  validation {
    condition     = alltrue([for task in values(var.tasks) : can(jsondecode(file(task.table_mappings)).rules)])
    error_message = "table_mappings is the path of a JSON file with rules: `replication-assets dms lint FILE` says what is wrong in it."
  }

  validation {
    condition     = alltrue([for task in values(var.tasks) : task.settings == null ? true : can(keys(jsondecode(file(task.settings))))])
    error_message = "settings is the path of a JSON file with one object."
  }

  validation {
    condition = alltrue([
      for task in values(var.tasks) :
      task.settings == null ? true : !can(regex("\"CloudWatchLog(Group|Stream)\"\\s*:\\s*\"", file(task.settings)))
    ])
    error_message = "Take CloudWatchLogGroup and CloudWatchLogStream out of the settings: DMS sets them itself, and refuses a task that is made with them."
  }

  validation {
    condition     = alltrue([for task in values(var.tasks) : task.cdc_start_position == null || task.migration_type == "cdc"])
    error_message = "cdc_start_position is for tasks of migration_type cdc."
  }
}

# --- alarms ----------------------------------------------------------------------------------

variable "alarm_topic_arn" {
  description = "The SNS topic that alarms and failures of tasks are told to. Without it alarms only change their state."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null ? true : can(regex("^arn:[a-z-]+:sns:", var.alarm_topic_arn))
    error_message = "The ARN of an SNS topic."
  }
}

variable "alarms" {
  description = "Limits. Lag in seconds, storage and swap in bytes, processor in percent."
  type = object({
    lag_seconds        = optional(number, 300)
    free_storage_bytes = optional(number, 10737418240)
    swap_bytes         = optional(number, 536870912)
    cpu_percent        = optional(number, 90)
  })
  default = {}
}
