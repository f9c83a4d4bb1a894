"""The house's processes: started, watched, restarted, measured, stopped."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from trending_cli.observing import prometheus_command
from trending_cli.ports import HOST, free_ports
from trending_cli.spawning import spawn
from trending_shared.errors import TrendingError

SERVICES = ("scraper", "cleaner", "featurizer", "trainer", "inference", "monitor")
_STOP_WITHIN = 45.0  # seconds; longer than the services' own graceful timeout
_SAMPLE_EVERY = 0.25  # seconds between looks at memory and at dead processes
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each restart
_STEADY_AFTER = 600.0  # seconds of life after which earlier deaths are forgotten


class ServiceDied(TrendingError):
    """A service ended by itself too often; the message shows the end of its log."""


class Process(Protocol):
    """What a stack watches: a child of its own, or the embedded Kafka."""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    @property
    def status(self) -> int | None:
        """How it ended by itself; none before the first start, while it runs, or if stopped."""

    @property
    def log(self) -> Path: ...

    def start(self) -> object:
        """Start it, again if it has ended. Raises `TrendingError` or `OSError` if it can't."""


@dataclass
class Child:
    """A process with an HTTP port that we start and stop."""

    command: list[str]
    env: dict[str, str]
    log: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def status(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = spawn(self.command, env=self.env, log=self.log)

    def terminate(self) -> None:
        if self._process:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Until it has ended; after that many seconds it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log; nothing if there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Stack:
    """Processes with one life.

    Args:
        home: where logs are written.
        env: added to our own environment for every child.
        on_event: told of deaths and restarts.
        kafka: the embedded broker, started and stopped by the caller, but watched like the others.
        pauses: seconds before the first, second, … restart of a process; there are no more.

    `failed` says why, once a process died too often or can't be started again.
    """

    home: Path
    env: Mapping[str, str]
    on_event: Callable[[str], None] = lambda text: None
    kafka: Process | None = None
    pauses: Sequence[float] = _PAUSES
    children: dict[str, Child] = field(default_factory=dict)
    failed: str | None = None
    _watch: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    _restarts: Counter[str] = field(default_factory=Counter)
    _peaks: Counter[str] = field(default_factory=Counter)
    _started_at: dict[str, float] = field(default_factory=dict)

    def add_service(self, name: str, *, port: int | None = None) -> Child:
        """Have a service run; without a port it gets a free one."""
        port = port or free_ports(1)[0]
        command = [sys.executable, "-m", f"trending_{name}"]
        return self._add(name, command, {f"{name.upper()}_PORT": str(port)}, port)

    def add_site(self, *, port: int, arguments: list[str]) -> Child:
        """Have the demo's film site run, as `site`."""
        command = [sys.executable, "-m", "trending_demo", "--port", str(port), *arguments]
        return self._add("site", command, {}, port)

    def add_prometheus(self, executable: str, *, port: int, every: timedelta) -> Child:
        """Have all services that were added asked for their metrics, by a Prometheus of our own."""
        ports = {name: child.port for name, child in self.children.items()}
        folder = self.home / "prometheus"
        command = prometheus_command(executable, folder, ports=ports, port=port, every=every)
        return self._add("prometheus", command, {}, port)

    def _add(self, name: str, command: list[str], env: Mapping[str, str], port: int) -> Child:
        child = Child(
            command=command,
            env={**os.environ, **self.env, **env},
            log=self.home / "logs" / f"{name}.log",
            port=port,
        )
        self.children[name] = child
        return child

    def start(self) -> None:
        """Start everything that hasn't been started, and watch it."""
        for name, child in self.children.items():
            if name not in self._started_at:
                self._started_at[name] = time.monotonic()
                child.start()
        if self._watch is None:
            self._watch = threading.Thread(target=self._watching, name="watcher", daemon=True)
            self._watch.start()

    def wait_until(self, path_of: Mapping[str, str], *, timeout: float = 300) -> None:
        """Wait until each named child answers 200 on its path.

        Raises:
            ServiceDied: one ended, or didn't answer in time; its log's end is in the message.
        """
        deadline = time.monotonic() + timeout
        waiting = dict(path_of)
        with httpx.Client(timeout=3, trust_env=False) as client:
            while waiting:
                for name, path in list(waiting.items()):
                    child = self.children[name]
                    if self.failed:
                        raise ServiceDied(self.failed)
                    try:
                        if client.get(child.url + path).status_code == 200:
                            del waiting[name]
                    except httpx.TransportError:
                        continue
                if waiting and time.monotonic() > deadline:
                    name = next(iter(waiting))
                    raise ServiceDied(
                        f"{name} isn't ready after {timeout:.0f} s; the end of its log:\n"
                        f"{tail(self.children[name].log)}"
                    )
                time.sleep(0.1)

    def _watching(self) -> None:
        while self.failed is None and not self._stopping.wait(_SAMPLE_EVERY):
            # Kafka first: what needs it is started again when it is back.
            watched = {"kafka": self.kafka} if self.kafka else {}
            for name, process in (watched | self.children).items():
                if pid := process.pid:
                    self._peaks[name] = max(self._peaks[name], _memory(pid))
                elif process.status is not None:
                    self._restart(name, process)

    def _restart(self, name: str, process: Process) -> None:
        ended = f"{name} ended with status {process.status}"
        if time.monotonic() - self._started_at.get(name, 0.0) > _STEADY_AFTER:
            self._restarts[name] = 0
        if self._restarts[name] == len(self.pauses) or process.status == os.EX_CONFIG:
            self.failed = f"{ended}; the end of {process.log}:\n{tail(process.log)}"
            return
        self.on_event(f"{ended}; starting it again")
        if self._stopping.wait(self.pauses[self._restarts[name]]):
            return
        self._restarts[name] += 1
        self._started_at[name] = time.monotonic()
        try:
            process.start()
        except (TrendingError, OSError) as error:
            self.failed = f"{ended} and can't be started again: {error}"

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that don't end in time. Safe to call twice."""
        self._stopping.set()
        if self._watch:
            self._watch.join()
        for child in self.children.values():
            child.terminate()
        deadline = time.monotonic() + _STOP_WITHIN
        for child in self.children.values():
            child.wait(max(0.1, deadline - time.monotonic()))

    def peak_megabytes(self) -> dict[str, float]:
        """The most resident memory of each process and its children, in MiB, as sampled."""
        return {name: round(peak / 2**20, 1) for name, peak in self._peaks.items()}


def _memory(pid: int) -> int:
    """Resident bytes of a process and its children."""
    try:
        parent = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)])
    except psutil.Error:
        return 0
