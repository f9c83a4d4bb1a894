mock_provider "aws" {
  source = "../mocks"
}

variables {
  name            = "trending-prod"
  environment     = "prod"
  repository      = "owner/trending-now"
  region          = "eu-central-1"
  account_id      = "123456789012"
  repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/trending-prod/cleaner"]
  role_arns       = ["arn:aws:iam::123456789012:role/trending-prod-cleaner-task"]
  state_bucket    = "state-123456789012"
  bucket_arn      = "arn:aws:s3:::trending-prod-123456789012"
}

run "one_repository_in_one_environment_may_deploy" {
  command = apply

  module {
    source = "../modules/ci_oidc"
  }

  assert {
    condition = jsondecode(aws_iam_role.deploy.assume_role_policy).Statement[0].Condition == {
      StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = "repo:owner/trending-now:environment:prod"
      }
    }
    error_message = "Somebody else than the repository's environment can become this role."
  }

  assert {
    condition = alltrue([for each in jsondecode(aws_iam_role_policy.roll.policy).Statement :
      !contains(each.Action, "iam:PassRole") || (toset(each.Resource) == toset(var.role_arns) && can(each.Condition.StringEquals["iam:PassedToService"]))
    ])
    error_message = "It may give services another role than theirs."
  }

  assert {
    condition = alltrue(flatten([for policy in [aws_iam_role_policy.images.policy, aws_iam_role_policy.roll.policy, aws_iam_role_policy.look.policy] : [
      for each in jsondecode(policy).Statement : [for action in each.Action : !contains(["secretsmanager:GetSecretValue", "iam:CreateRole", "iam:PutRolePolicy", "s3:PutBucketPolicy"], action)]
    ]]))
    error_message = "It may read secrets, or change who may do what."
  }

  assert {
    condition = alltrue(flatten([for each in jsondecode(aws_iam_role_policy.look.policy).Statement : [
      for action in each.Action : !startswith(action, "s3:GetObject") || each.Resource == ["arn:aws:s3:::state-123456789012/prod/*"]
    ]]))
    error_message = "It may read what the store holds, or another environment's state."
  }
}

run "a_repository_is_named_without_wildcards" {
  command = plan

  module {
    source = "../modules/ci_oidc"
  }

  variables {
    repository = "owner/*"
  }

  expect_failures = [var.repository]
}
