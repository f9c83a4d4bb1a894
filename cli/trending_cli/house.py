"""The house as one thing: Kafka, the six services, and what they are told."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.observing import DASHBOARDS, find_prometheus
from trending_cli.output import warn
from trending_cli.ports import HOST, free_ports, is_free
from trending_cli.processes import SERVICES, ServiceDied, Stack
from trending_cli.recreated import recreated_topics, remedy
from trending_shared.errors import SettingInvalid, TrendingError
from trending_shared.settings import CommonSettings, KafkaSettings

ROOT = Path(__file__).parents[2]


@dataclass
class House:
    """What runs."""

    home: Path
    bootstrap: str
    embedded: EmbeddedKafka | None
    stack: Stack

    @property
    def settings(self) -> CommonSettings:
        """Settings of a client that talks to this house."""
        return CommonSettings(
            trending_home=self.home,
            kafka=KafkaSettings(bootstrap_servers=self.bootstrap),
        )

    def url(self, name: str) -> str:
        return self.stack.children[name].url

    def wait(self) -> None:
        """Stay until Ctrl-C.

        Raises:
            KeyboardInterrupt: somebody wants this to end.
            ServiceDied: something died too often.
        """
        while self.stack.failed is None:
            time.sleep(0.2)
        raise ServiceDied(self.stack.failed)


def code_version() -> str:
    """The package version and, in a checkout, its commit: `0.1.0+8f4ae2a[.dirty]`."""
    base = version("trending-shared")
    if os.environ.get("CODE_VERSION"):
        return os.environ["CODE_VERSION"]
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty=.dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{base}+{described.stdout.strip()}" if described.returncode == 0 else base


@contextmanager
def running_house(
    home: Path,
    *,
    env: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    services: tuple[str, ...] = SERVICES,
    observe_every: timedelta | None = None,
    within: float = 90,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[House]:
    """Start Kafka (unless `KAFKA_BOOTSTRAP_SERVERS` names one) and the services; stop all at last.

    Args:
        env: settings for every service.
        ports: fixed ports by service; the others get free ones.
        observe_every: how often a Prometheus asks the services; without it there is none.
        within: seconds that services may take to be ready.
        tell: told what is happening, a line at a time.

    Raises:
        PrometheusMissing: it is to be started, and isn't installed.
        KafkaUnavailable: Kafka can't be started; the message says what to install.
        ServiceDied: a service didn't come up.
        SettingInvalid: a fixed port is taken.
        Unavailable: a Kafka that was named, or the store, doesn't answer.
    """
    for name, port in (ports or {}).items():
        if name in services and not is_free(port):
            raise SettingInvalid(f"port {port}, meant for {name}, is taken; choose another")
    prometheus = find_prometheus(os.environ) if observe_every else None
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as exits:
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        embedded = None
        if given:
            bootstrap = given
            tell(f"using Kafka at {given}")
        else:
            if os.environ.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") != "PLAINTEXT":
                raise SettingInvalid(
                    "KAFKA_SECURITY_PROTOCOL: is of a broker that KAFKA_BOOTSTRAP_SERVERS names; "
                    "the one that is started here is reached from this machine only"
                )
            embedded = EmbeddedKafka(home, on_progress=tell)
            bootstrap = embedded.start()
            exits.callback(embedded.stop)
        [observer] = free_ports(1)
        panels = {
            "INFERENCE_PROMETHEUS_URL": f"http://{HOST}:{observer}",
            "INFERENCE_DASHBOARDS": str(DASHBOARDS),
        }
        stack = Stack(
            home=home,
            env={
                "TRENDING_HOME": str(home),
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "CODE_VERSION": code_version(),
                "LOG_FORMAT": "json",
                **(panels if prometheus else {}),
                **(env or {}),
            },
            on_event=tell,
            kafka=embedded,
        )
        house = House(home=home, bootstrap=bootstrap, embedded=embedded, stack=stack)
        with ThreadPoolExecutor(1) as pool:  # the caller's may be running an event loop already
            topics = pool.submit(asyncio.run, recreated_topics(house.settings)).result()
        if topics:
            warn(remedy(topics, house.settings))
        for name in services:
            stack.add_service(name, port=(ports or {}).get(name))
        if observe_every and prometheus:
            stack.add_prometheus(prometheus, port=observer, every=observe_every)
        exits.callback(stack.stop)
        exits.callback(tell, "stopping the services")
        tell(f"starting {', '.join(stack.children)}")
        stack.start()
        # The gateway is ready only with a model, and the first model comes out of the others.
        probes = {"inference": "/healthz", "prometheus": "/-/ready"}
        wanted = {name: probes.get(name, "/readyz") for name in stack.children}
        stack.wait_until(wanted, timeout=within)
        yield house


def empty(home: Path) -> None:
    """Remove a home with all that was kept in it.

    Raises:
        TrendingError: it is in use, or isn't a home of ours.
    """
    if EmbeddedKafka.running(home):
        raise TrendingError(f"{home} is in use; stop what runs there first")
    if not home.exists():
        return
    if not any((home / name).is_dir() for name in ("kafka", "logs")):
        raise TrendingError(f"{home} isn't a home of ours; empty it yourself")
    shutil.rmtree(home)


def end_on_sigterm() -> None:
    """Let SIGTERM, and a terminal that is closed, unwind like Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
