# Nothing of its own: `terraform test` runs each module alone from here, and asks what it may never do.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}
