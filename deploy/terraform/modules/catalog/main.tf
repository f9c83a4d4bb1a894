# The catalog: PostgreSQL on RDS. Its password passes through Terraform once, as a write-only value that
# is in no state; services get it as part of the secret CATALOG_URL, which people fill.

variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "client_security_group_id" {
  type = string
}

variable "instance_class" {
  type = string
}

variable "multi_az" {
  type = bool
}

variable "deletion_protection" {
  description = "Also keeps a last snapshot."
  type        = bool
}

variable "backup_days" {
  type = number

  validation {
    condition     = var.backup_days >= 1
    error_message = "A catalog without backups can only be rebuilt from tables and topics, in hours."
  }
}

variable "password" {
  description = "Given when the database is made, and with a higher password_version; otherwise null."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.password == null ? true : can(regex("^[A-Za-z0-9]{24,100}$", var.password))
    error_message = "The password has 24 to 100 letters and digits: it becomes part of an address."
  }
}

variable "password_version" {
  type    = number
  default = 1
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-catalog"
  description = "The catalog"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from tasks"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.instance_class
  db_name        = "trending"

  # The provider wants a password named even where none is set. Nobody would know this one.
  username            = "trending"
  password_wo         = coalesce(var.password, replace(uuid(), "-", ""))
  password_wo_version = var.password_version

  allocated_storage     = 20
  max_allocated_storage = 200
  storage_type          = "gp3"
  storage_encrypted     = true

  multi_az               = var.multi_az
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period         = var.backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = var.deletion_protection
  skip_final_snapshot             = !var.deletion_protection
  final_snapshot_identifier       = var.deletion_protection ? "${var.name}-last" : null
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}

output "address" {
  description = "Host, port and database: what CATALOG_URL has after the password."
  value       = "${aws_db_instance.this.endpoint}/${aws_db_instance.this.db_name}"
}

output "identifier" {
  value = aws_db_instance.this.identifier
}
