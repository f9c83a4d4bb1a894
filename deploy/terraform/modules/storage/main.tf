# The object store: pages, tables, datasets, models, reports, the audit log. What it holds can't be
# made again, so it has versions; what ages out says so below.

variable "bucket" {
  type = string
}

variable "force_destroy" {
  description = "Whether the bucket may be destroyed with what it holds."
  type        = bool
}

variable "raw_days" {
  description = "After how many days pages as they came are deleted; null keeps them, and lineage to the page."
  type        = number
  default     = null

  validation {
    condition     = var.raw_days == null ? true : var.raw_days >= 30
    error_message = "Pages are needed for at least 30 days: replays and lineage read them."
  }
}

variable "report_days" {
  description = "After how many days reports are deleted, should the monitor (MONITOR_REPORTS_KEPT) not have done so."
  type        = number
  default     = 120
}

variable "noncurrent_days" {
  description = "How long what was deleted or replaced can be brought back; erasing a person is complete only after it."
  type        = number
  default     = 30
}

locals {
  expiring = merge(
    { reports = var.report_days, quotas = 7 },
    var.raw_days == null ? {} : { raw = var.raw_days, fetches = var.raw_days },
  )
}

resource "aws_s3_bucket" "this" {
  bucket        = var.bucket
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyByTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.arn, "${local.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  dynamic "rule" {
    for_each = local.expiring

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

locals {
  arn = "arn:aws:s3:::${var.bucket}"
}

output "bucket" {
  value = aws_s3_bucket.this.id
}

output "arn" {
  value = local.arn
}

output "url" {
  description = "What STORE_URL is set to."
  value       = "s3://${var.bucket}"
}
