"""What all measurements share: where they happen, and the processes that are measured."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path

import httpx
import psutil

from trending_cli.ports import HOST, free_ports
from trending_cli.processes import tail
from trending_cli.spawning import spawn
from trending_shared.errors import TrendingError
from trending_shared.settings import KafkaSettings

ROUNDS = 3
START_TIMEOUT = 90.0  # seconds
STOP_TIMEOUT = 45.0  # seconds; longer than the services' own graceful timeout


class MeasurementFailed(TrendingError):
    """Something else than speed went wrong; there are no figures."""


@dataclass(frozen=True)
class Bench:
    """Where measurements happen: a folder that is thrown away, a Kafka, someone to tell."""

    home: Path
    kafka: KafkaSettings
    tell: Callable[[str], None]
    niceness: int = 0
    """By how much what is measured gives way to what measures it."""

    @contextmanager
    def service(self, name: str, **settings: object) -> Iterator["Running"]:
        """A service as it runs in production; yields it when it is ready."""
        with self.process(name, f"trending_{name}", **settings) as running:
            running.wait_until_ready()
            yield running

    @contextmanager
    def process(
        self, name: str, module: str, *arguments: str, **settings: object
    ) -> Iterator["Running"]:
        """A Python module as a process with a free port, and one's own folder and Kafka.

        Args:
            settings: of a service, by their names without the prefix.
        """
        (port,) = free_ports(1)
        own = {f"{name}_{key}".upper(): str(value) for key, value in settings.items()}
        env = {
            **environ,
            "TRENDING_HOME": str(self.home),
            "STORE_URL": "",  # never anyone's real tables
            "CATALOG_URL": "",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "LOG_FORMAT": "json",
            f"{name}_PORT".upper(): str(port),
            **own,
        }
        log = self.home / f"{name}.log"
        command = [sys.executable, "-m", module, *arguments]
        process = spawn(command, env=env, log=log)
        psutil.Process(process.pid).nice(self.niceness)  # its children inherit that
        try:
            yield Running(name, process, log, port)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Running:
    """A process under measurement. Should it end, what is being measured fails."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    def check(self) -> None:
        """Raises `MeasurementFailed` if it has ended."""
        if self.process.poll() is not None:
            raise MeasurementFailed(f"{self.name} ended; the end of its log:\n{tail(self.log)}")

    def wait_until_ready(self) -> None:
        """Until /readyz answers 200."""
        deadline = time.monotonic() + START_TIMEOUT
        with httpx.Client(base_url=f"http://{HOST}:{self.port}", trust_env=False) as client:
            while True:
                self.check()
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if time.monotonic() > deadline:
                    raise MeasurementFailed(f"{self.name} isn't ready:\n{tail(self.log)}")
                time.sleep(0.1)

    def cpu_seconds(self) -> float:
        """CPU time that it and its children have used so far."""
        self.check()
        process = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stopped in the middle of whatever it does; keep it shorter than its Kafka session."""
        self.check()
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def rates(count: int, seconds: Sequence[float]) -> tuple[float, ...]:
    """How many a second, by round."""
    return tuple(count / each for each in seconds)
