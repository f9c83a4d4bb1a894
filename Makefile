# Everything a person does here; `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt --overrides overrides.txt
MANIFESTS := constraints.txt overrides.txt packages.txt pyproject.toml $(wildcard */pyproject.toml services/*/pyproject.toml)
CODE := shared services cli demo pipeline tests benchmarks docs notebooks/execute.py deploy/docker deploy/feast deploy/grafana deploy/airflow deploy/release
FEAST := deploy/feast/.venv
DVC := deploy/dvc/.venv
MOTO := deploy/terraform/.venv
AIRFLOW := deploy/airflow/.venv
RAY := deploy/ray/.venv
# Compiling all imports anew takes each process of the house longer than it then needs to start.
unexport PYTHONDONTWRITEBYTECODE
FEATURES ?= $(or $(TRENDING_HOME),.trending)/features

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

# ------------------------------------------------------------------ run

demo: $(VENV)/installed ## walk the whole house: scrape, clean, learn, serve (ARGS="--exit --json")
	$(BIN)/trending demo $(ARGS)

up: $(VENV)/installed ## start Kafka and the six services until Ctrl-C
	$(BIN)/trending up $(ARGS)

# ------------------------------------------------------------------ set up

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "error: Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; say which with make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(VENV)/installed: $(MANIFESTS) | $(UV)
	$(INSTALL) -r packages.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --group dev
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed-dev
	$(INSTALL) --group bench
	@touch $@

$(FEAST)/installed: deploy/feast/requirements.txt deploy/feast/constraints.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(FEAST)
	$(UV) pip install --quiet --python $(FEAST)/bin/python -c deploy/feast/constraints.txt -r deploy/feast/requirements.txt
	@touch $@

$(DVC)/installed: deploy/dvc/requirements.txt deploy/dvc/constraints.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(DVC)
	$(UV) pip install --quiet --python $(DVC)/bin/python -c deploy/dvc/constraints.txt -r deploy/dvc/requirements.txt
	@touch $@

$(MOTO)/installed: deploy/terraform/requirements.txt deploy/terraform/constraints.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(MOTO)
	$(UV) pip install --quiet --python $(MOTO)/bin/python -c deploy/terraform/constraints.txt -r deploy/terraform/requirements.txt
	@touch $@

$(AIRFLOW)/installed: deploy/airflow/requirements.txt deploy/airflow/constraints.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(AIRFLOW)
	$(UV) pip install --quiet --python $(AIRFLOW)/bin/python -c deploy/airflow/constraints.txt -r deploy/airflow/requirements.txt
	@touch $@

$(RAY)/installed: deploy/ray/requirements.txt deploy/ray/constraints.txt $(MANIFESTS) | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python $(RAY)
	$(UV) pip install --quiet --python $(RAY)/bin/python -c constraints.txt -c deploy/ray/constraints.txt \
	  --overrides overrides.txt -r deploy/ray/requirements.txt
	@touch $@

install: $(VENV)/installed ## what the demo and the services need
install-dev: $(VENV)/installed-dev ## and what tests and checks need
install-feast: $(FEAST)/installed ## Feast, in an environment of its own
install-dvc: $(DVC)/installed ## DVC, in an environment of its own
install-terraform: $(MOTO)/installed ## moto, which stands in for AWS, in an environment of its own
install-airflow: $(AIRFLOW)/installed ## Airflow, in an environment of its own
install-ray: $(RAY)/installed ## Ray, in an environment of its own, with the packages that it runs

lock: | $(UV) ## add what is missing to constraints.txt (ARGS=--upgrade resolves it anew)
	@cp constraints.txt constraints.new
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  --overrides overrides.txt --group dev --group bench packages.txt --output-file constraints.new $(ARGS)
	{ echo "# One set of versions for all packages; made by \`make lock\`."; \
	  grep -vE '^(-e|\./|file:|#|trending-)' constraints.new; } > constraints.txt
	@rm constraints.new

lock-feast: | $(UV) ## resolve Feast's environment (ARGS=--upgrade does it anew)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  deploy/feast/requirements.txt --output-file deploy/feast/constraints.txt $(ARGS)

lock-dvc: | $(UV) ## resolve DVC's environment (ARGS=--upgrade does it anew)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  deploy/dvc/requirements.txt --output-file deploy/dvc/constraints.txt $(ARGS)

lock-terraform: | $(UV) ## resolve moto's environment (ARGS=--upgrade does it anew)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  deploy/terraform/requirements.txt --output-file deploy/terraform/constraints.txt $(ARGS)

lock-airflow: | $(UV) ## resolve Airflow's environment (ARGS=--upgrade does it anew)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	  deploy/airflow/requirements.txt --output-file deploy/airflow/constraints.txt $(ARGS)

lock-ray: | $(UV) ## resolve what only Ray's environment has (ARGS=--upgrade does it anew)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header -c constraints.txt \
	  --overrides overrides.txt deploy/ray/requirements.txt $(ARGS) | grep -vE '^(-e|\./|file:|trending-)' | \
	  grep -vxFf constraints.txt > deploy/ray/constraints.txt

# ------------------------------------------------------------------ check

test: $(VENV)/installed-dev ## all tests, with a real Kafka (embedded if none is given)
	$(BIN)/python -m pytest $(ARGS)

test-kill: $(VENV)/installed-dev ## each service and the broker killed in mid-walk (CATALOGUE=file.csv for a large one)
	TEST_CATALOGUE=$(CATALOGUE) $(BIN)/python -m pytest -m slow -v $(ARGS)

test-erasure: $(VENV)/installed-dev ## an author erased from a house that runs on Kafka, and every store searched for them
	$(BIN)/python -m pytest -v tests/connected/test_erasure_on_kafka.py $(ARGS)

screenshots: $(VENV)/installed-dev ## each page in both themes and two widths, as a Chromium sees it, in screenshots/
	SCREENSHOTS=screenshots $(BIN)/python -m pytest -q tests/browser/test_looks.py $(ARGS)

crawl-report: $(VENV)/installed-dev ## what a misbehaving site was asked, when, and what was refused
	$(BIN)/python -m pytest -q -s tests/scraper/test_misbehaving_site.py $(ARGS)

test-crawl: $(VENV)/installed-dev ## two scrapers killed in a crawl of 2,000 pages
	$(BIN)/python -m pytest -m "slow or not slow" tests/connected/test_crawl_with_kills.py -k 2000-pages $(ARGS)

test-api: $(VENV)/installed-dev ## the API held against its description, at length (ARGS="--max-examples=500 --seed=2")
	API_ARGS="$(or $(ARGS),--max-examples=300)" $(BIN)/python -m pytest -v tests/inference/test_openapi.py

test-parity: $(VENV)/installed-dev ## ten thousand hostile texts through each family, as trained and as served
	$(BIN)/python -m pytest -m "slow or not slow" tests/trainer/test_hostile_texts.py $(ARGS)

test-s3: $(VENV)/installed-dev ## the store's promises on a real S3 server (needs Go once)
	$(BIN)/python tests/s3_server.py $(BIN)/python -m pytest tests/shared/test_storage.py tests/shared/test_tables.py tests/shared/test_registry.py

test-postgres: $(VENV)/installed-dev ## every test that has a catalog, on PostgreSQL (ARGS="-k titles" for some)
	TEST_CATALOG=postgresql $(BIN)/python -m pytest tests/shared tests/featurizer tests/monitor tests/inference $(ARGS)

test-elsewhere: $(VENV)/installed-dev ## one walk embedded, one on S3, PostgreSQL and Kafka behind SASL_SSL, compared (CATALOGUE=file.csv)
	$(BIN)/python tests/elsewhere/walks.py $(if $(CATALOGUE),--catalogue "$(CATALOGUE)") $(ARGS)

test-feast: $(VENV)/installed-dev $(FEAST)/installed ## the demo's features through Feast, compared value by value
	$(BIN)/python -m pytest -m feast tests/feast $(ARGS)

test-dvc: $(VENV)/installed-dev $(DVC)/installed ## the pipeline by DVC, there and back through a folder and a real S3 server
	$(BIN)/python tests/s3_server.py $(BIN)/python -m pytest -m dvc tests/dvc $(ARGS)

terraform-test: $(VENV)/installed-dev $(MOTO)/installed ## Terraform: format, validity, policies, and an apply on moto (TF_PLUGIN_DIR=folder of providers)
	$(BIN)/python -m pytest -m terraform tests/terraform $(ARGS)

airflow-test: $(VENV)/installed-dev $(AIRFLOW)/installed ## both DAGs on two days, each day twice, on a house of their own
	$(BIN)/python -m pytest -m airflow tests/airflow $(ARGS)

test-ray: $(VENV)/installed-dev $(RAY)/installed ## a backfill by Ray, compared row by row with what the services wrote (CATALOGUE=file.csv)
	TEST_CATALOGUE=$(CATALOGUE) $(BIN)/python -m pytest -s -m ray tests/ray $(ARGS)

compare: $(VENV)/installed-dev ## every family of models side by side (CATALOGUE=file.csv for another than the demo's)
	rm -rf .trending/compare/store/{tables,datasets} && mkdir -p .trending/compare
	$(if $(CATALOGUE),$(BIN)/python -m pipeline.snapshots clean "$(CATALOGUE)" .trending/compare/store,$(BIN)/python -m pipeline.demo_store .trending/compare/store)
	$(if $(CATALOGUE),$(BIN)/python -m pipeline.snapshots features .trending/compare/store)
	STORE_URL=file://$(CURDIR)/.trending/compare/store $(BIN)/python -m trending_trainer.comparing .trending/compare/models $(filter-out --json,$(ARGS)) > .trending/compare/compared
	STORE_URL=file://$(CURDIR)/.trending/compare/models $(BIN)/trending models leaderboard $$(< .trending/compare/compared) --output .trending/compare/leaderboard.html $(filter --json,$(ARGS))

trends: $(VENV)/installed ## what trends say of simulated titles that rise, and of those that don't (ARGS="--seed 2 --json")
	$(BIN)/python -m trending_shared.surges $(ARGS)

bench: $(VENV)/installed-bench ## events, requests and pages a second, one table
	$(BIN)/python -m benchmarks $(ARGS)

overload: $(VENV)/installed-bench ## the gateway and its peers at three times their capacity, drawn (ARGS="--plot overload.svg")
	$(BIN)/python -m benchmarks.overload $(ARGS)

scale: $(VENV)/installed-bench ## services by the number of their replicas, here and played out to 1,000 (ARGS="--plot scaling.svg --json")
	$(BIN)/python -m benchmarks.scale $(ARGS)

check: fmt-check lint types check-imports docs-check dashboards-check ## every contract a machine can check

fmt: $(VENV)/installed-dev ## format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix-only --quiet $(CODE)

fmt-check: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/installed-dev ## ruff, and hadolint for the Dockerfile
	$(BIN)/ruff check $(CODE)
	$(BIN)/hadolint deploy/docker/service.Dockerfile

types: $(VENV)/installed-dev ## mypy, strict
	$(BIN)/mypy

check-imports: $(VENV)/installed-dev ## who may import whom
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev ## event schemas, AsyncAPI and the table of events, from the code
	$(BIN)/python docs/generate.py

docs-check: $(VENV)/installed-dev
	$(BIN)/python docs/generate.py --check

site: $(VENV)/installed-dev ## the documentation as a site, in site/; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

site-serve: $(VENV)/installed-dev ## the same on 127.0.0.1:8001, built anew whenever a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001 --watch README.md --watch services --watch deploy $(ARGS)

tutorial: $(VENV)/installed-dev ## the tutorial's commands on a fresh clone, timed, held against what the page promises (minutes)
	$(BIN)/python docs/walk_tutorial.py $(ARGS)

fairness: $(VENV)/installed-dev ## how sources agree on genres, whose titles have which, and for whom a model works (CATALOGUE=file.csv MODELS=file:///folder)
	$(BIN)/python -m pipeline.fairness docs/explanation $(if $(CATALOGUE),--catalogue "$(CATALOGUE)") $(if $(MODELS),--models "$(MODELS)") $(ARGS)

test-site: $(VENV)/installed-dev ## every page of the site in a Chromium: asks no other host, keeps nobody out (SCREENSHOTS=folder keeps pictures)
	$(BIN)/python -m pytest -m "site or not site" tests/browser/test_site.py $(ARGS)

dashboards: $(VENV)/installed-dev ## Grafana's dashboards, from the code
	$(BIN)/python deploy/grafana/dashboards.py

dashboards-check: $(VENV)/installed-dev
	$(BIN)/python deploy/grafana/dashboards.py --check

workflows-check: $(VENV)/installed-dev ## GitHub's workflows, by actionlint with ShellCheck and by zizmor (needs Go once)
	@command -v go >/dev/null || { echo "error: actionlint is built once by Go 1.21 or newer (https://go.dev/dl)"; exit 1; }
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck $(BIN)/shellcheck
	$(BIN)/zizmor --quiet --offline --no-progress .github

cards: $(VENV)/installed-dev ## data cards of all sources and of the demo's dataset
	folder=$$(mktemp -d) && $(BIN)/python -m pipeline.demo_store $$folder && \
	  STORE_URL=file://$$folder $(BIN)/trending quality cards --folder docs/data-cards; \
	  status=$$?; rm -rf $$folder; exit $$status

notebook: $(VENV)/installed-dev ## execute the notebook on the demo's catalogue (CATALOGUE=file.csv for another)
	CATALOGUE=$(CATALOGUE) $(BIN)/python notebooks/execute.py notebooks/explore.ipynb $(if $(CATALOGUE),notebooks/explore.local.ipynb)

feast: $(VENV)/installed $(FEAST)/installed ## export features (FEATURES=folder), lead them through Feast, compare
	$(BIN)/trending features export --to $(FEATURES)
	$(FEAST)/bin/python deploy/feast/round_trip.py $(FEATURES) $(ARGS)

dvc: $(VENV)/installed $(DVC)/installed ## rebuild what params.yaml names, from file to scores, and compare hashes (ARGS=features for a part)
	$(DVC)/bin/dvc repro $(ARGS)
	$(BIN)/python -m pipeline.verify_dvc

images: $(VENV)/installed ## build all images and weigh them, with Docker or else buildah (ARGS="cleaner --afresh")
	$(BIN)/python deploy/docker/images.py build $(ARGS)

images-test: $(VENV)/installed ## and start each, confined, and lead a job through them to a prediction
	$(BIN)/python deploy/docker/images.py test $(ARGS)

clean: ## remove the environment and everything a run has left
	git ls-files --error-unmatch dvc.lock >/dev/null 2>&1 || rm -f dvc.lock
	rm -rf .dvc/cache .dvc/tmp data/demo.csv data/store data/registry data/evaluation
	rm -rf $(VENV) $(FEAST) $(DVC) $(MOTO) site .trending .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache $(AIRFLOW) $(RAY)

.PHONY: help demo up install install-dev lock test test-kill test-api test-parity test-s3 test-postgres test-elsewhere compare trends bench overload check fmt fmt-check lint types check-imports docs docs-check dashboards dashboards-check cards notebook clean screenshots crawl-report test-crawl install-feast lock-feast test-feast feast install-dvc lock-dvc test-dvc dvc site site-serve test-site images images-test install-terraform lock-terraform terraform-test install-airflow lock-airflow airflow-test workflows-check scale install-ray lock-ray test-ray tutorial fairness test-erasure
