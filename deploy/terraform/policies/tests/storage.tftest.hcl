mock_provider "aws" {
  source = "../mocks"
}

variables {
  bucket        = "trending-test-123456789012"
  force_destroy = false
}

run "nobody_but_the_account_and_nothing_without_tls" {
  command = apply

  module {
    source = "../modules/storage"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Public access isn't blocked in all four ways."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs still count."
  }

  assert {
    condition = anytrue([for each in jsondecode(aws_s3_bucket_policy.this.policy).Statement :
      each.Effect == "Deny" && each.Principal == "*" && each.Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "Requests without TLS aren't refused."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "Objects aren't encrypted."
  }
}

run "what_is_lost_can_be_brought_back_and_reports_age_out" {
  command = apply

  module {
    source = "../modules/storage"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "There are no versions."
  }

  assert {
    condition     = toset([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id]) == toset(["reports", "quotas", "leftovers"])
    error_message = "Something else ages out than reports, quotas and what was replaced."
  }

  assert {
    condition = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      [rule.noncurrent_version_expiration[0].noncurrent_days, rule.abort_incomplete_multipart_upload[0].days_after_initiation] if rule.id == "leftovers"
    ]) == [30, 7]
    error_message = "Versions and broken uploads pile up."
  }

  assert {
    condition     = aws_s3_bucket.this.force_destroy == false
    error_message = "The bucket would go with all it holds."
  }
}

run "pages_age_out_if_told" {
  command = apply

  module {
    source = "../modules/storage"
  }

  variables {
    raw_days = 180
  }

  assert {
    condition = length([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule
      if contains(["raw", "fetches"], rule.id) && try(rule.expiration[0].days, 0) == 180 && try(rule.filter[0].prefix, "") == "${rule.id}/"
    ]) == 2
    error_message = "Pages, or the notes on their fetches, stay."
  }
}

run "a_week_is_too_short_for_pages" {
  command = plan

  module {
    source = "../modules/storage"
  }

  variables {
    raw_days = 7
  }

  expect_failures = [var.raw_days]
}
