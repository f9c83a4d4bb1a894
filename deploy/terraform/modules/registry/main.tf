# A repository of images for each service. A tag means one image for ever, and services are deployed by digest.

variable "name" {
  type = string
}

variable "services" {
  type = set(string)
}

variable "force_delete" {
  description = "Whether a repository may be destroyed with the images in it."
  type        = bool
}

resource "aws_ecr_repository" "this" {
  for_each = var.services

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

# What has a tag stays: it may be in service, or be what one goes back to.
resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Images without a tag were never released"
      selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
      action       = { type = "expire" }
    }]
  })
}

output "urls" {
  description = "Where each service's images are pushed to."
  value       = { for service, repository in aws_ecr_repository.this : service => repository.repository_url }
}

output "arns" {
  value = { for service, repository in aws_ecr_repository.this : service => repository.arn }
}
