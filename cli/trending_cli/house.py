"""The house as one thing: Kafka, the six services, and what they are told."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.processes import SERVICES, Stack
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
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[House]:
    """Start Kafka (unless `KAFKA_BOOTSTRAP_SERVERS` names one) and the services; stop all at last.

    Args:
        env: settings for every service.
        ports: fixed ports by service; the others get free ones.
        tell: told what is happening, a line at a time.

    Raises:
        KafkaUnavailable: Kafka can't be started; the message says what to install.
        ServiceDied: a service didn't come up.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack_of_exits:
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        embedded = None
        if given:
            bootstrap = given
            tell(f"using Kafka at {given}")
        else:
            embedded = EmbeddedKafka(home, on_progress=tell)
            bootstrap = embedded.start()
            stack_of_exits.callback(embedded.stop)
        stack = Stack(
            home=home,
            env={
                "TRENDING_HOME": str(home),
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "CODE_VERSION": code_version(),
                "LOG_FORMAT": "json",
                **(env or {}),
            },
            on_event=tell,
        )
        if embedded:
            stack.others["kafka"] = lambda: embedded.pid
        for name in services:
            stack.add_service(name, port=(ports or {}).get(name))
        stack_of_exits.callback(stack.stop)
        tell(f"starting {', '.join(services)}")
        stack.start()
        # The gateway is ready only with a model, and the first model comes out of the others.
        stack.wait_until(
            {name: "/healthz" if name == "inference" else "/readyz" for name in services}
        )
        yield House(home=home, bootstrap=bootstrap, embedded=embedded, stack=stack)
        tell("stopping the services")


def end_on_sigterm() -> None:
    """Let SIGTERM unwind like Ctrl-C does, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
