"""What the embedded broker needs from the machine, and what it says where that is missing."""

import os
from pathlib import Path

import pytest

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.kafka_distribution import (
    KafkaUnavailable,
    find_java,
    kafka_version,
    resolve_jars,
)

REMEDY = (
    "install a JRE (Debian: apt-get install openjdk-17-jre-headless) or set KAFKA_BOOTSTRAP_SERVERS"
)


class Machine:
    """A machine whose PATH holds the scripts of one folder and the shell's own tools."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.cache = folder / "cache"
        self.environ = {"PATH": str(self.bin), "XDG_CACHE_HOME": str(self.cache)}

    def install(self, name: str, script: str, *, folder: Path | None = None) -> Path:
        file = (folder or self.bin) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\nPATH={os.defpath}\n{script}\n")
        file.chmod(0o755)
        return file

    def install_java(self, version: str, *, folder: Path | None = None) -> Path:
        said = f"""echo 'openjdk version "{version}" 2025-04-15' >&2"""
        return self.install("java", said, folder=folder)

    @property
    def cached(self) -> list[Path]:
        return sorted(self.cache.glob("*/*"))


FETCH = """
for argument; do case $argument in -DoutputDirectory=*) folder=${argument#*=}; esac; done
mkdir -p "$folder" && echo bytes > "$folder/kafka.jar"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def refusal_of_java(machine: Machine) -> str:
    with pytest.raises(KafkaUnavailable) as refusal:
        find_java(machine.environ)
    return str(refusal.value)


def test_without_java_one_line_says_what_to_install(machine: Machine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(KafkaUnavailable) as refusal:
        EmbeddedKafka(home, environ=machine.environ).start()
    assert str(refusal.value) == f"Kafka needs Java 17 or newer: {REMEDY}"
    assert not home.exists()


@pytest.mark.parametrize(("version", "major"), [("11.0.2", "11"), ("1.8.0_292", "8")])
def test_an_older_java_is_named_with_its_version(
    machine: Machine, version: str, major: str
) -> None:
    java = machine.install_java(version)
    assert refusal_of_java(machine) == (
        f"Kafka needs Java 17 or newer, and {java} is Java {major}: {REMEDY}"
    )


def test_a_java_that_only_says_there_is_none_counts_as_none(machine: Machine) -> None:
    machine.install("java", "echo 'Unable to locate a Java Runtime.' >&2; exit 1")
    assert refusal_of_java(machine).endswith(f"java doesn't run: {REMEDY}")


@pytest.mark.parametrize("version", ["17", "17.0.15", "25-ea"])
def test_java_17_and_newer_will_do(machine: Machine, version: str) -> None:
    java = machine.install_java(version)
    assert find_java(machine.environ) == str(java)


def test_the_java_of_java_home_goes_before_that_of_the_path(
    machine: Machine, tmp_path: Path
) -> None:
    machine.install_java("11")
    wanted = machine.install_java("21", folder=tmp_path / "jdk" / "bin")
    machine.environ["JAVA_HOME"] = str(tmp_path / "jdk")
    assert find_java(machine.environ) == str(wanted)


def test_without_maven_and_jars_one_line_says_what_to_install(machine: Machine) -> None:
    with pytest.raises(KafkaUnavailable) as refusal:
        resolve_jars(machine.environ)
    assert str(refusal.value) == (
        "Kafka's jars have to be fetched once, by Maven: "
        "install it (Debian: apt-get install maven) or set KAFKA_BOOTSTRAP_SERVERS"
    )


def test_jars_are_fetched_once_and_then_need_no_maven(machine: Machine) -> None:
    maven = machine.install("mvn", FETCH)
    told: list[str] = []
    jars = resolve_jars(machine.environ, told.append)
    maven.unlink()
    assert resolve_jars(machine.environ, told.append) == jars
    assert [file.name for file in jars.iterdir()] == ["kafka.jar"]
    assert told == [f"fetching Apache Kafka {kafka_version()} with Maven, once (45 MB)"]


def test_what_maven_complains_of_is_passed_on_and_nothing_is_left(machine: Machine) -> None:
    machine.install("mvn", FETCH + "echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(KafkaUnavailable, match=r"\[ERROR\] no route to host"):
        resolve_jars(machine.environ)
    assert machine.cached == []


def test_of_two_that_fetch_at_once_both_get_the_same_whole_folder(machine: Machine) -> None:
    machine.install("mvn", FETCH)
    faster: list[Path] = []
    slower = resolve_jars(
        machine.environ, lambda step: faster.append(resolve_jars(machine.environ))
    )
    assert faster == [slower]
    assert machine.cached == [slower]
    assert (slower / "kafka.jar").exists()
