variable "environment" {
  type = string

  validation {
    condition     = contains(["staging", "prod"], var.environment)
    error_message = "The environment is staging or prod."
  }
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "zones" {
  description = "Two to four availability zones of the region."
  type        = list(string)
}

variable "images" {
  description = "By service, the digest of the image that it runs (sha256:…); a service without one isn't there."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.images), ["scraper", "cleaner", "featurizer", "trainer", "inference", "monitor"])) == 0
    error_message = "There are images of scraper, cleaner, featurizer, trainer, inference and monitor."
  }

  validation {
    condition     = alltrue([for digest in values(var.images) : can(regex("^sha256:[0-9a-f]{64}$", digest))])
    error_message = "An image is named by its digest, sha256:… with 64 hexadecimal digits; a tag may come to mean another one."
  }
}

variable "gateway_runtime" {
  description = "What the gateway runs on: ecs, or apprunner in accounts that were its customers before 30 April 2026."
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "apprunner"], var.gateway_runtime)
    error_message = "The gateway runs on ecs or apprunner."
  }
}

variable "certificate_arn" {
  description = "ACM's certificate for the gateway's name; needed on ECS, App Runner has its own."
  type        = string
  default     = null
}

variable "gateway_callers" {
  description = "Networks that may reach the gateway on ECS."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "gateway_requests" {
  description = "Requests a minute and replica beyond which the gateway on ECS gets another one."
  type        = number
  default     = 6000
}

variable "partitions" {
  description = "Of the larger topics: as many replicas of a service can work at once. Topics keep what they began with."
  type        = number
  default     = 3

  validation {
    condition     = var.partitions >= 1 && var.partitions <= 24
    error_message = "There are 1 to 24 partitions; MSK Serverless allows 2,400 in all topics together."
  }
}

variable "kafka" {
  description = "A cluster of MSK's with IAM that there is already; null makes a serverless one."
  type        = object({ arn = string, bootstrap_servers = string })
  default     = null
}

variable "overrides" {
  description = "By service, what differs from the sizes in services.tf, and further settings."
  type = map(object({
    cpu         = optional(number)
    memory      = optional(number)
    disk        = optional(number)
    spot        = optional(bool)
    replicas    = optional(object({ min = number, max = number }))
    environment = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.overrides), ["scraper", "cleaner", "featurizer", "trainer", "inference", "monitor"])) == 0
    error_message = "Overrides are of scraper, cleaner, featurizer, trainer, inference and monitor."
  }

  validation {
    condition = alltrue(flatten([for each in values(var.overrides) : [
      for name in keys(each.environment) : length(regexall("(KEY|KEYS|TOKEN|SECRET|PASSWORD|CLIENT_ID)$|^CATALOG_URL$", name)) == 0
    ]]))
    error_message = "A secret isn't set here, where everybody can read it: it lies in Secrets Manager, see `secrets`."
  }
}

variable "secrets" {
  description = "Which of the optional secrets have a value by now: OPENAI_API_KEY, WANDB_API_KEY, SCRAPER_TMDB_TOKEN, …"
  type        = set(string)
  default     = []

  validation {
    condition = length(setsubtract(var.secrets, [
      "OPENAI_API_KEY", "WANDB_API_KEY", "SCRAPER_AUTHOR_HASH_OLD_KEYS", "SCRAPER_OMDB_KEY", "SCRAPER_TMDB_TOKEN", "SCRAPER_TRAKT_CLIENT_ID",
    ])) == 0
    error_message = "Optional secrets are OPENAI_API_KEY, WANDB_API_KEY, SCRAPER_AUTHOR_HASH_OLD_KEYS, SCRAPER_OMDB_KEY, SCRAPER_TMDB_TOKEN and SCRAPER_TRAKT_CLIENT_ID."
  }
}

variable "catalog_password" {
  description = "Given when the catalog is made, and whenever catalog_password_version grows."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "catalog_password_version" {
  type    = number
  default = 1
}

variable "catalog_class" {
  description = "RDS's instance class."
  type        = string
  default     = "db.t4g.small"
}

variable "raw_days" {
  description = "After how many days pages as they came are deleted; null keeps them."
  type        = number
  default     = null
}

variable "emails" {
  description = "Who is told of alarms."
  type        = set(string)
  default     = []
}

variable "runbooks" {
  description = "Where docs/runbooks can be read; alarms link there."
  type        = string
  default     = "docs/runbooks"
}

variable "github_repository" {
  description = "OWNER/NAME, whose workflows may deploy; null lets none."
  type        = string
  default     = null
}

variable "github_provider_arn" {
  description = "The account's OpenID Connect provider for GitHub, if there is one already."
  type        = string
  default     = null
}

variable "state_bucket" {
  description = "Where the state lies, if a workflow is to apply."
  type        = string
  default     = null
}

variable "log_days" {
  type = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731 days."
  }
}

variable "autoscaling" {
  description = "Whether the number of replicas follows what is asked; false holds each at its least."
  type        = bool
  default     = true
}
