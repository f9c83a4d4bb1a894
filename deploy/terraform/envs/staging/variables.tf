# What is the account's and the release's own; what makes this environment what it is stands in main.tf.

variable "account_id" {
  type = string
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "zones" {
  type    = list(string)
  default = ["eu-central-1a", "eu-central-1b"]
}

variable "images" {
  description = "By service, the digest of the image that it runs: { cleaner = \"sha256:…\" }"
  type        = map(string)
  default     = {}
}

variable "gateway_runtime" {
  description = "ecs, or apprunner where the account may use it."
  type        = string
  default     = "ecs"
}

variable "certificate_arn" {
  type    = string
  default = null
}

variable "gateway_callers" {
  type    = list(string)
  default = ["0.0.0.0/0"]
}

variable "secrets" {
  description = "Which of the optional secrets have a value by now."
  type        = set(string)
  default     = []
}

variable "catalog_password" {
  description = "TF_VAR_catalog_password, when the catalog is made or gets another password."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "catalog_password_version" {
  type    = number
  default = 1
}

variable "emails" {
  type    = set(string)
  default = []
}

variable "runbooks" {
  type    = string
  default = "docs/runbooks"
}

variable "github_repository" {
  type    = string
  default = null
}

variable "github_provider_arn" {
  type    = string
  default = null
}

variable "state_bucket" {
  type    = string
  default = null
}

variable "overrides" {
  description = "By service, other sizes and further settings, such as which sources are scraped; see modules/house."
  type = map(object({
    cpu         = optional(number)
    memory      = optional(number)
    disk        = optional(number)
    spot        = optional(bool)
    replicas    = optional(object({ min = number, max = number }))
    environment = optional(map(string), {})
  }))
  default = {}
}
