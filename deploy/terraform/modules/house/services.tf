# What each service needs, beside Kafka: its size, its places in the object store, its secrets.

locals {
  services = {
    scraper = {
      port     = 8101
      size     = { cpu = 512, memory = 1024, disk = 21, spot = false, replicas = { min = 1, max = var.partitions } }
      catalog  = false
      secrets  = ["SCRAPER_AUTHOR_HASH_KEY"] # without it each new task would hash authors by another key
      optional = ["SCRAPER_AUTHOR_HASH_OLD_KEYS", "SCRAPER_OMDB_KEY", "SCRAPER_TMDB_TOKEN", "SCRAPER_TRAKT_CLIENT_ID"]
      reads    = ["raw", "fetches", "imports", "quotas"]
      writes   = ["raw", "fetches", "imports", "quotas"]
      deletes  = ["quotas"]
    }
    cleaner = {
      port     = 8102
      size     = { cpu = 512, memory = 2048, disk = 30, spot = false, replicas = { min = 1, max = var.partitions } }
      catalog  = false
      secrets  = []
      optional = []
      reads    = ["tables"]
      writes   = [for table in local.tables : "tables/${table}"]
      deletes  = [for table in local.tables : "tables/${table}"] # files that a table no longer consists of
    }
    featurizer = {
      port     = 8103
      size     = { cpu = 2048, memory = 4096, disk = 30, spot = false, replicas = { min = 1, max = var.partitions } }
      catalog  = true
      secrets  = []
      optional = []
      reads    = ["tables", "datasets"]
      writes   = ["tables/features", "datasets"]
      deletes  = ["tables/features"]
    }
    trainer = {
      port     = 8104
      size     = { cpu = 4096, memory = 16384, disk = 50, spot = false, replicas = { min = 1, max = 1 } }
      catalog  = false
      secrets  = []
      optional = ["WANDB_API_KEY"]
      reads    = ["datasets", "models", "aliases", "experiments", "runs", "tuning"]
      writes   = ["models", "aliases", "runs", "tuning"]
      deletes  = ["runs"]
    }
    inference = {
      port     = 8080
      size     = { cpu = 1024, memory = 2048, disk = 21, spot = false, replicas = { min = 1, max = 4 } }
      catalog  = true
      secrets  = ["INFERENCE_API_KEYS"]
      optional = ["OPENAI_API_KEY"]
      reads    = ["*"] # lineage goes back to the page
      writes   = ["experiments", "prompts", "aliases/prompts"]
      deletes  = []
    }
    monitor = {
      port     = 8106
      size     = { cpu = 1024, memory = 4096, disk = 21, spot = false, replicas = { min = 1, max = 1 } }
      catalog  = true
      secrets  = []
      optional = []
      reads    = ["*"] # the audit log compares what there is with what it was told
      writes   = ["aliases", "audit", "experiments", "experiments-told", "reports"]
      deletes  = ["reports"]
    }
  }
  tables = ["titles", "reviews", "facts", "signals", "merged", "rejects", "pages"]

  sizes = { for service, each in local.services : service => {
    for part, value in each.size : part => try(var.overrides[service][part], null) == null ? value : var.overrides[service][part]
  } }

  environments = { for service, each in local.services : service => merge(
    {
      AWS_REGION               = var.region # of object store and Kafka
      KAFKA_BOOTSTRAP_SERVERS  = module.kafka.bootstrap_servers
      KAFKA_PARTITIONS         = tostring(var.partitions)
      KAFKA_REPLICATION_FACTOR = "3" # the only one that MSK Serverless takes
      KAFKA_SASL_MECHANISM     = "AWS_MSK_IAM"
      KAFKA_SECURITY_PROTOCOL  = "SASL_SSL"
      LOG_FORMAT               = "json"
      METRICS_EMF_NAMESPACE    = local.namespace
      STORE_URL                = module.storage.url
      TMPDIR                   = "/data" # the only place that may be written to
      TRENDING_HOME            = "/data"
      "${upper(service)}_HOST" = "0.0.0.0"
      "${upper(service)}_PORT" = tostring(each.port)
    },
    # Behind the load balancer a caller's address is in a header, of which only its own is believed.
    service == "inference" && var.gateway_runtime == "ecs" ? { FORWARDED_ALLOW_IPS = module.network.cidr } : {},
    try(var.overrides[service].environment, {}),
  ) }

  secret_names = toset(concat(["CATALOG_URL"], flatten([for each in local.services : concat(each.secrets, each.optional)])))
  secrets_of = { for service, each in local.services : service => {
    for name in concat(each.catalog ? ["CATALOG_URL"] : [], each.secrets, [for name in each.optional : name if contains(var.secrets, name)]) :
    name => module.secrets.arns[name]
  } }

  store_policies = { for service, each in local.services : service => jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Sid = "List", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [module.storage.arn] },
        { Sid = "Read", Effect = "Allow", Action = ["s3:GetObject"], Resource = [for at in each.reads : at == "*" ? "${module.storage.arn}/*" : "${module.storage.arn}/${at}/*"] },
        { Sid = "Write", Effect = "Allow", Action = ["s3:AbortMultipartUpload", "s3:PutObject"], Resource = [for at in each.writes : "${module.storage.arn}/${at}/*"] },
      ],
      length(each.deletes) == 0 ? [] : [
        { Sid = "Delete", Effect = "Allow", Action = ["s3:DeleteObject"], Resource = [for at in each.deletes : "${module.storage.arn}/${at}/*"] },
      ],
    )
  }) }

  running = { for service in keys(var.images) : service => merge(local.sizes[service], {
    image          = "${module.registry.urls[service]}@${var.images[service]}"
    repository_arn = module.registry.arns[service]
    port           = local.services[service].port
    environment    = local.environments[service]
    secrets        = local.secrets_of[service]
    policies       = { store = local.store_policies[service], kafka = module.kafka.policies[service] }
  }) }
}
