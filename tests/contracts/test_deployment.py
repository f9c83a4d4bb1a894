"""The compose file, the image recipe and Feast's files against the code they belong to."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from trending_cli.features import TITLE_FEATURES, TITLE_TRENDS
from trending_cli.kafka_distribution import kafka_version
from trending_cli.processes import SERVICES
from trending_monitor.openlineage import OpenLineageSettings
from trending_shared.settings import CommonSettings, KafkaSettings, variable_name

ROOT = Path(__file__).parents[2]
FEAST = ROOT / "deploy" / "feast"
COMPOSE = (ROOT / "docker-compose.yml").read_text()
CONTAINERS: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]


def test_there_is_one_container_a_service_besides_kafka_the_demo_site_and_who_looks_on() -> None:
    assert set(CONTAINERS) == {
        *(*SERVICES, "kafka", "site", "lineage"),
        *("prometheus", "grafana", "jaeger", "s3", "postgres"),
    }


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_is_healthy_or_not_by_its_own_check_or_by_that_of_our_recipe(name: str) -> None:
    container = CONTAINERS[name]
    ours = {each["image"] for each in CONTAINERS.values() if "build" in each}
    assert "test" in container.get("healthcheck", {}) or container["image"] in ours


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_image_is_made_here_or_has_a_version(name: str) -> None:
    image = CONTAINERS[name]["image"]
    assert image.startswith("trending-") or re.fullmatch(r"[\w/]+:v?\d+(\.\d+)+(-alpine)?", image)


def test_services_wait_for_what_keeps_their_data_where_that_is_on() -> None:
    for name in (*SERVICES, "lineage"):
        waits = CONTAINERS[name]["depends_on"]
        assert {needed["condition"] for needed in waits.values()} == {"service_healthy"}
        optional = {needed for needed, how in waits.items() if not how.get("required", True)}
        assert optional == {"s3", "postgres"} == set(waits) - {"kafka"}
        assert all(CONTAINERS[needed]["profiles"] == [needed] for needed in optional)


def test_what_has_data_kept_elsewhere_names_settings_profiles_and_ports_that_there_are() -> None:
    lines = (ROOT / "deploy/docker/elsewhere.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    ours = {name for name in given if not name.startswith(("AWS_", "COMPOSE_", "POSTGRES_"))}
    assert ours <= {variable_name(CommonSettings, field) for field in CommonSettings.model_fields}
    assert given["COMPOSE_PROFILES"].split(",") == ["s3", "postgres"]
    for address in (given["AWS_ENDPOINT_URL"], given["CATALOG_URL"]):
        found = re.search(r"(?://|@)(s3|postgres):(\d+)", address)
        assert found
        assert CONTAINERS[found[1]]["ports"] == [f"127.0.0.1:{found[2]}:{found[2]}"]
    bucket = given["STORE_URL"].removeprefix("s3://").split("/")[0]
    assert f"s3:/buckets/{bucket}" in CONTAINERS["s3"]["volumes"]
    secret = {given[name] for name in given if "SECRET" in name or "PASSWORD" in name}
    assert secret == {"CHANGE-ME"}


def test_lineage_is_told_if_asked_for_and_set_by_what_its_process_reads() -> None:
    container = CONTAINERS["lineage"]
    assert container["profiles"] == ["lineage"]
    module = container["command"][-1]
    assert import_module(module).create_app
    known = {
        variable_name(cls, field)
        for cls in (OpenLineageSettings, KafkaSettings)
        for field in cls.model_fields
    }
    assert set(container["environment"]) - {"PORT"} <= known
    # The image is another service's, and checks itself where PORT says.
    assert container["environment"]["PORT"] == container["environment"]["OPENLINEAGE_PORT"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_who_looks_on_is_started_if_asked_for_and_reads_files_that_there_are(name: str) -> None:
    container = CONTAINERS[name]
    assert container["profiles"] == ["observe"]
    mounts = [each for each in container["volumes"] if each.startswith("./")]
    assert mounts
    for mount in mounts:
        source, _, mode = mount.split(":")
        assert (ROOT / source).is_dir()
        assert mode == "ro"


def test_traces_go_where_the_file_says_they_can() -> None:
    jaeger = CONTAINERS["jaeger"]
    assert jaeger["profiles"] == ["observe"]
    address = re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=http://(\w+):(\d+)", COMPOSE)
    assert address
    assert address[1] == "jaeger"
    assert f"127.0.0.1:{address[2]}:{address[2]}" in jaeger["ports"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_sets_nothing_that_its_service_does_not_read(name: str) -> None:
    settings = getattr(import_module(f"trending_{name}.settings"), f"{name.title()}Settings")
    known = {
        variable_name(cls, field) for cls in (settings, KafkaSettings) for field in cls.model_fields
    }
    assert set(CONTAINERS[name]["environment"]) <= known


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_probed_and_published_where_its_service_listens(name: str) -> None:
    container = CONTAINERS[name]
    port = container["environment"][f"{name.upper()}_PORT"]
    settings = getattr(import_module(f"trending_{name}.settings"), f"{name.title()}Settings")
    assert port == settings.model_fields["port"].default
    assert container["build"]["args"] == {"SERVICE": name, "PORT": port}
    assert container["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in CONTAINERS[name].get("ports", ()))


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"kafka"}))
def test_a_container_of_ours_can_change_nothing_but_its_data(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]


def test_the_container_and_the_embedded_broker_are_the_same_kafka() -> None:
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_image_is_pinned_and_has_no_root() -> None:
    recipe = (ROOT / "deploy/docker/service.Dockerfile").read_text()
    [base] = re.findall(r"^ARG BASE=(\S+)", recipe, re.MULTILINE)
    assert re.fullmatch(r"debian:bookworm-\d{8}-slim", base)
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", recipe, re.MULTILINE)
    assert {source for source, _ in stages} <= {"${BASE}", *(name for _, name in stages)}
    assert stages[-1] == ("python", "")  # without what was needed to build
    assert re.findall(r"^USER (\S+)", recipe, re.MULTILINE) == ["10001:10001"]


def test_each_image_has_a_budget() -> None:
    budgets = tomllib.loads((ROOT / "deploy/docker/budgets.toml").read_text())
    built = {name for name, each in CONTAINERS.items() if "build" in each}
    assert {name.partition("[")[0] for name in budgets} == built
    assert built <= set(budgets)


def test_a_bill_of_materials_has_the_packages_that_debian_has_installed(tmp_path: Path) -> None:
    done, bill = bill_of_materials(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(each["name"], each["purl"]) for each in bill["components"]] == [
        ("structlog", "pkg:pypi/structlog@26.1.0"),
        ("libssl3", "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64"),
    ]


def test_a_bill_of_materials_that_its_schema_refuses_is_not_written(tmp_path: Path) -> None:
    done, bill = bill_of_materials(tmp_path, unheard_of=True)
    assert done.returncode == 1
    assert "isn't CycloneDX 1.6" in done.stderr
    assert bill == {}


def bill_of_materials(
    folder: Path, **more: bool
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """What becomes of an environment with one package on a Debian with one, and one removed."""
    package = {"type": "library", "name": "structlog", "purl": "pkg:pypi/structlog@26.1.0"}
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [package], **more}
    (folder / "bom.json").write_text(json.dumps(bom))
    (folder / "status").write_text(
        "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\n"
        "Version: 3.0.22-1~deb12u2\nDescription: one\n more\n\n"
        "Package: nano\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 7.2-1\n"
    )
    files = [folder / name for name in ("bom.json", "status", "result.json")]
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/docker/sbom.py", *files], capture_output=True, text=True
    )
    return done, json.loads(files[2].read_text()) if files[2].exists() else {}


def test_who_has_nothing_to_build_images_with_is_told_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/docker/images.py", "build", "cleaner"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    assert "apt-get install buildah debootstrap" in " ".join(done.stderr.split())


def test_what_feast_runs_imports_nothing_of_ours() -> None:
    imports = re.compile(r"^ *(?:import|from) +(\w+)", re.MULTILINE)
    files = sorted(FEAST.glob("*.py"))
    assert {name for file in files for name in imports.findall(file.read_text())} <= {
        *sys.stdlib_module_names,
        *(file.stem for file in files),
        *("feast", "pandas", "pyarrow"),
    }


def test_feasts_environment_is_pinned_and_names_no_place() -> None:
    pinned = re.compile(r"([\w.-]+==[\w.]+)(?: ; .+)?")
    lines = (FEAST / "constraints.txt").read_text().splitlines()
    assert all(pinned.fullmatch(line) for line in lines)
    wanted = (FEAST / "requirements.txt").read_text().splitlines()
    assert {line for line in wanted if not line.startswith("#")} < set(lines)


def test_feast_is_told_of_every_exported_column() -> None:
    types = {
        "String": pa.string(),
        "Int32": pa.int32(),
        "Float64": pa.float64(),
        "Array(Float32)": pa.list_(pa.float32()),
    }
    field = re.compile(r'Field\(\s*name="(\w+)", dtype=(Array\(\w+\)|\w+)')
    told = field.findall((FEAST / "definitions.py").read_text())
    assert [(name, types[dtype]) for name, dtype in told] == [
        (each.name, each.type)
        for each in (*TITLE_FEATURES, *TITLE_TRENDS)
        if each.name not in {"title_id", "event_timestamp"}
    ]
