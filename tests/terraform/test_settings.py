"""What containers are told on AWS, against what the services read; topics and metrics likewise."""

import json
import runpy
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from trending_cli.processes import SERVICES
from trending_inference.workers import _STOP_WITHIN
from trending_scraper.scheduling import TRANSACTIONAL_ID
from trending_shared.api_keys import ApiKey, Scope
from trending_shared.settings import KafkaSettings, variable_name
from trending_shared.topics import SCHEDULES

ROOT = Path(__file__).parents[2]
# Read by a library that a service uses, and by no settings of ours.
OF_LIBRARIES = {
    "AWS_REGION": "object store, tables and Kafka's IAM",
    "FORWARDED_ALLOW_IPS": "uvicorn: whose X-Forwarded-For is believed",
    "TMPDIR": "Python and SQLite: where temporary files go",
    "WANDB_API_KEY": "W&B",
}
A_VALUE = "0123456789abcdef0123456789abcdef"

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(1800)]


def settings_of(service: str) -> Any:
    return getattr(import_module(f"trending_{service}.settings"), f"{service.title()}Settings")


def known_to(service: str) -> dict[str, Any]:
    """The variables that a service reads, with their fields."""
    return {
        variable_name(cls, name): field
        for cls in (settings_of(service), KafkaSettings)
        for name, field in cls.model_fields.items()
    }


@pytest.fixture
def outputs(environment: str, tested: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the house tells, by the run that made it."""
    done = tested[environment].result()
    return {run: told["house"] for run, told in done.outputs.items() if told.get("house")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_told_nothing_that_its_service_does_not_read(
    outputs: Mapping[str, Any], service: str
) -> None:
    for house in outputs.values():
        container = house["containers"][service]
        told = {each["name"] for each in (*container["environment"], *container["secrets"])}
        assert told - set(known_to(service)) - set(OF_LIBRARIES) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_secret_is_never_told_as_plain_text(outputs: Mapping[str, Any], service: str) -> None:
    secret = {
        name for name, field in known_to(service).items() if "Secret" in str(field.annotation)
    } | {"CATALOG_URL", "INFERENCE_API_KEYS", "WANDB_API_KEY", "PGPASSWORD"}
    for house in outputs.values():
        assert not secret & {each["name"] for each in house["containers"][service]["environment"]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_with_what_it_is_told(
    outputs: Mapping[str, Any], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"CATALOG_URL": "postgresql+asyncpg://trending:p@db:5432/trending?ssl=require"}
    given["INFERENCE_API_KEYS"] = ApiKey.create("somebody", [Scope.READ])[1].line
    for house in outputs.values():
        container = house["containers"][service]
        for each in container["environment"]:
            monkeypatch.setenv(each["name"], each["value"])
        for each in container["secrets"]:
            monkeypatch.setenv(each["name"], given.get(each["name"], A_VALUE))
        if "AWS_MSK_IAM" not in str(KafkaSettings.model_fields["sasl_mechanism"].annotation):
            monkeypatch.delenv("KAFKA_SASL_MECHANISM")
        settings = settings_of(service)()
        assert settings.store.startswith("s3://trending-")
        assert settings.metrics_emf_namespace.startswith("TrendingNow/")
        assert settings.kafka.security_protocol == "SASL_SSL"
        assert settings.host == "0.0.0.0"
        assert settings.home == Path("/data")
        assert (
            settings.port
            == container.get("portMappings", [{"containerPort": 8080}])[0]["containerPort"]
        )


def test_what_a_scraper_hashes_by_is_given_and_not_made_anew(outputs: Mapping[str, Any]) -> None:
    for house in outputs.values():
        secrets = {each["name"] for each in house["containers"]["scraper"]["secrets"]}
        assert "SCRAPER_AUTHOR_HASH_KEY" in secrets
    field = known_to("scraper")["SCRAPER_AUTHOR_HASH_KEY"]
    assert SecretStr in field.annotation.__args__


@pytest.mark.parametrize("service", ["featurizer", "inference", "monitor"])
def test_who_writes_the_catalog_is_told_where_it_is(
    outputs: Mapping[str, Any], service: str
) -> None:
    source = (ROOT / f"services/{service}/trending_{service}/app.py").read_text()
    assert "Catalog(settings.catalog)" in source
    for house in outputs.values():
        told = {
            name
            for name, container in house["containers"].items()
            if "CATALOG_URL" in {each["name"] for each in container["secrets"]}
        }
        assert told == {"featurizer", "inference", "monitor"}


def test_a_task_is_given_the_time_that_a_service_takes_to_stop(outputs: Mapping[str, Any]) -> None:
    for house in outputs.values():
        for container in house["containers"].values():
            assert container.get("stopTimeout", 90) > _STOP_WITHIN


def test_a_role_reads_and_writes_the_topics_that_its_service_does(
    outputs: Mapping[str, Any], tmp_path: Path
) -> None:
    generate = runpy.run_path(str(ROOT / "docs/generate.py"))
    for house in outputs.values():
        for service, may in house["topics"].items():
            app = generate["create_service"](service, tmp_path)
            if service == "inference":
                assert may["reads"] == ["*"]
                sends = {kind.topic for kind in import_module("trending_inference.app").PRODUCES}
                assert set(may["writes"]) == sends
                continue
            own = {f"*-{service}-retry-*", f"*-{service}-dlq"}
            own |= {SCHEDULES.name} if service == "scraper" else set()
            assert set(may["reads"]) == {kind.topic for kind in app.consumer.consumes} | own
            assert set(may["writes"]) == {kind.topic for kind in app.produces} | own


def test_the_scraper_may_use_its_transactional_id(houses: Mapping[str, Any]) -> None:
    for resources in houses.values():
        (policy,) = [
            each["values"]["policy"]
            for each in resources
            if each["type"] == "aws_iam_role_policy"
            and each.get("index") == "kafka"
            and '"scraper"' in each["address"]
        ]
        named = [
            one.rpartition("/")[2]
            for statement in json.loads(policy)["Statement"]
            for one in statement["Resource"]
            if ":transactional-id/" in one
        ]
        assert named == [TRANSACTIONAL_ID]


def test_alarms_and_dashboard_ask_for_metrics_that_are_told(outputs: Mapping[str, Any]) -> None:
    cloudwatch = runpy.run_path(str(ROOT / "tests/contracts/test_cloudwatch.py"))
    for house in outputs.values():
        assert len(house["metrics"]) > 30
        for metric in house["metrics"]:
            labels = metric["labels"] or {}
            if metric["name"] in cloudwatch["FILTERS"]:
                assert labels == {}
            else:
                told = cloudwatch["told_by"](labels["service"])
                assert told[metric["name"]] == set(labels), metric
