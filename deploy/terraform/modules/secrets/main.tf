# Places for secrets. Their values are put there by people (`aws secretsmanager put-secret-value`) and
# are in no file and no state of Terraform's.

variable "name" {
  type = string
}

variable "names" {
  description = "The environment variables that these secrets become."
  type        = set(string)
}

variable "recovery_days" {
  description = "For how long a deleted secret can be brought back; 0 deletes it at once."
  type        = number
}

resource "aws_secretsmanager_secret" "this" {
  for_each = var.names

  name                    = "${var.name}/${each.key}"
  recovery_window_in_days = var.recovery_days
}

output "arns" {
  value = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}
