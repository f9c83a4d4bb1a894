# What a workflow of the repository's may do, without a key anywhere: GitHub says which repository and
# environment asks, AWS believes it. It may push images and have services run them; all else that
# Terraform would change is refused, and is for a person to apply.

variable "name" {
  type = string
}

variable "environment" {
  description = "GitHub's environment, whose rules say who may deploy."
  type        = string
}

variable "repository" {
  description = "OWNER/NAME"
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "The repository is named OWNER/NAME, without wildcards."
  }
}

variable "provider_arn" {
  description = "Of the account's provider for GitHub, of which there can be one; null makes it."
  type        = string
  default     = null
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "repository_arns" {
  description = "Where images go."
  type        = list(string)
}

variable "role_arns" {
  description = "What services run as."
  type        = list(string)
}

variable "state_bucket" {
  description = "Where Terraform's state of this environment lies; null gives no access to it."
  type        = string
  default     = null
}

variable "bucket_arn" {
  description = "The object store, whose settings a plan reads."
  type        = string
}

locals {
  issuer   = "token.actions.githubusercontent.com"
  provider = var.provider_arn != null ? var.provider_arn : aws_iam_openid_connect_provider.this[0].arn
  here     = "${var.region}:${var.account_id}"
}

resource "aws_iam_openid_connect_provider" "this" {
  count = var.provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = "repo:${var.repository}:environment:${var.environment}"
      } }
    }]
  })
}

resource "aws_iam_role_policy" "images" {
  name = "images"
  role = aws_iam_role.deploy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }, # there is no other resource for it
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:ListImages", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = var.repository_arns
      },
    ]
  })
}

resource "aws_iam_role_policy" "roll" {
  name = "roll"
  role = aws_iam_role.deploy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        # These two know no resource to be restricted to.
        { Effect = "Allow", Action = ["ecs:DeregisterTaskDefinition", "ecs:RegisterTaskDefinition"], Resource = ["*"] },
        { Effect = "Allow", Action = ["ecs:UpdateService"], Resource = ["arn:aws:ecs:${local.here}:service/${var.name}/*"] },
        { Effect = "Allow", Action = ["ecs:TagResource"], Resource = ["arn:aws:ecs:${local.here}:task-definition/${var.name}-*:*"] },
        { Effect = "Allow", Action = ["apprunner:UpdateService"], Resource = ["arn:aws:apprunner:${local.here}:service/${var.name}/*"] },
      ],
      length(var.role_arns) == 0 ? [] : [{
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = var.role_arns
        Condition = { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "build.apprunner.amazonaws.com", "tasks.apprunner.amazonaws.com"] } }
      }],
    )
  })
}

# A plan reads what there is. No secret's value and no object of the store is among it.
resource "aws_iam_role_policy" "look" {
  name = "look"
  role = aws_iam_role.deploy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect = "Allow"
        Action = [
          "application-autoscaling:Describe*", "application-autoscaling:ListTagsForResource", "apprunner:Describe*", "apprunner:List*",
          "cloudwatch:Describe*", "cloudwatch:GetDashboard", "cloudwatch:List*", "ec2:Describe*", "ecr:Describe*",
          "ecr:GetLifecyclePolicy", "ecr:ListTagsForResource", "ecs:Describe*", "ecs:List*", "elasticloadbalancing:Describe*",
          "iam:GetOpenIDConnectProvider", "iam:GetRole", "iam:GetRolePolicy", "iam:List*", "kafka:Describe*", "kafka:GetBootstrapBrokers",
          "kafka:List*", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags", "logs:Describe*",
          "logs:ListTagsForResource", "rds:Describe*", "rds:ListTagsForResource", "secretsmanager:DescribeSecret",
          "secretsmanager:GetResourcePolicy", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes", "sns:ListTagsForResource",
        ]
        Resource = ["*"]
        },
        {
          Effect = "Allow"
          Action = [
            "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration",
            "s3:GetReplicationConfiguration", "s3:ListBucket",
          ]
          Resource = [var.bucket_arn]
      }],
      var.state_bucket == null ? [] : [
        { Effect = "Allow", Action = ["s3:ListBucket"], Resource = ["arn:aws:s3:::${var.state_bucket}"] },
        {
          Effect   = "Allow"
          Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
          Resource = ["arn:aws:s3:::${var.state_bucket}/${var.environment}/*"]
        },
      ],
    )
  })
}

output "role_arn" {
  description = "What the workflow's step aws-actions/configure-aws-credentials assumes."
  value       = aws_iam_role.deploy.arn
}
