"""What the embedded broker is made of: a Java that is there, and Kafka's jars, fetched once.

The jars are those that `deploy/kafka/pom.xml` pins. They lie in the user's cache folder, where all
checkouts share them.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from trending_shared.errors import TrendingError

RECIPE = Path(__file__).parents[2] / "deploy" / "kafka"  # this package is installed editable
_OLDEST_JAVA = 17
_FETCH_TIMEOUT = 900.0  # s; 45 MB over a slow line


class KafkaUnavailable(TrendingError):
    """The embedded broker can't run here; the message says what to install or to set."""


def find_java(environ: Mapping[str, str]) -> str:
    """The `java` of JAVA_HOME, else of PATH.

    Raises:
        KafkaUnavailable: there is none, or it is older than Java 17.
    """
    needed = f"Kafka needs Java {_OLDEST_JAVA} or newer"
    remedy = (
        "install a JRE (Debian: apt-get install openjdk-17-jre-headless) "
        "or set KAFKA_BOOTSTRAP_SERVERS"
    )
    home, path = environ.get("JAVA_HOME"), environ.get("PATH", "")
    java = shutil.which("java", path=f"{home}/bin{os.pathsep}{path}" if home else path)
    if java is None:
        raise KafkaUnavailable(f"{needed}: {remedy}")
    answer = subprocess.run([java, "-version"], env=dict(environ), capture_output=True, text=True)
    # `version "17.0.15"`, `version "21"`; up to Java 8 `version "1.8.0_292"`. A Mac without Java
    # has a `java` that says no such thing.
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if found is None:
        raise KafkaUnavailable(f"{needed}, and {java} doesn't run: {remedy}")
    if int(found[1]) < _OLDEST_JAVA:
        raise KafkaUnavailable(f"{needed}, and {java} is Java {found[1]}: {remedy}")
    return java


def resolve_jars(
    environ: Mapping[str, str], tell: Callable[[str], None] = lambda step: None
) -> Path:
    """The folder with Kafka's jars, filled by Maven the first time (45 MB, checksums verified).

    It is named by the hash of `deploy/kafka/pom.xml` and appears whole or not at all, so several
    processes may want it at once.

    Raises:
        KafkaUnavailable: the recipe or Maven is missing, or Maven couldn't fetch the jars.
    """
    pom = RECIPE / "pom.xml"
    if not pom.is_file():
        raise KafkaUnavailable(
            f"{pom} is missing: run from a checkout of the repository "
            "or set KAFKA_BOOTSTRAP_SERVERS"
        )
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trending-now"
    jars = cache / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven is None:
        raise KafkaUnavailable(
            "Kafka's jars have to be fetched once, by Maven: "
            "install it (Debian: apt-get install maven) or set KAFKA_BOOTSTRAP_SERVERS"
        )
    tell(f"fetching Apache Kafka {kafka_version()} with Maven, once (45 MB)")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as folder:
        fetched = Path(folder) / "jars"
        _copy_dependencies(maven, pom, fetched, environ)
        try:
            fetched.rename(jars)
        except OSError:
            if not jars.is_dir():  # else someone was faster, and theirs are the same
                raise
    return jars


def class_archive(java: str, jars: Path) -> Path:
    """Where Kafka's classes lie as that very Java has parsed them, if a broker has left them.

    With it Kafka starts in half the time (JEP 350: Dynamic CDS Archives). A JVM that it doesn't fit
    does without.
    """
    binary = Path(java).resolve()
    which = f"{binary} {binary.stat().st_mtime_ns}"
    return jars.with_name(f"{jars.name}-{hashlib.sha256(which.encode()).hexdigest()[:12]}.jsa")


def kafka_version() -> str:
    """The version of Apache Kafka that `deploy/kafka/pom.xml` pins."""
    dependencies = ElementTree.parse(RECIPE / "pom.xml").iterfind(".//{*}dependency")
    pinned = {each.findtext("{*}groupId"): each.findtext("{*}version") for each in dependencies}
    return pinned["org.apache.kafka"] or ""


def _copy_dependencies(maven: str, pom: Path, folder: Path, environ: Mapping[str, str]) -> None:
    command = [maven, "-q", "-B", "--strict-checksums", "-f", str(pom)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    try:
        answer = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_FETCH_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable(
            f"Maven didn't fetch Kafka's jars within {_FETCH_TIMEOUT:.0f} s"
        ) from error
    if answer.returncode:
        said = "\n".join(answer.stdout.strip().splitlines()[:3])  # the rest is advice on options
        raise KafkaUnavailable(f"Maven couldn't fetch Kafka's jars:\n{said}")
