"""The six services as child processes: started, watched, restarted, measured, stopped."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil

from trending_shared.errors import TrendingError

SERVICES = ("scraper", "cleaner", "featurizer", "trainer", "inference", "monitor")
_STOP_WITHIN = 45.0  # seconds; longer than the services' own graceful timeout
_SAMPLE_EVERY = 0.25  # seconds between looks at memory and at dead processes
_MOST_RESTARTS = 5


class ServiceDied(TrendingError):
    """A service ended by itself too often; the message shows the end of its log."""


@dataclass
class Child:
    """One process we started."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    peak_bytes: int = 0
    started_at: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = _spawn(self.command, self.env, output)
        self.started_at = time.monotonic()

    def tail(self, lines: int = 12) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Linux: have the kernel end the child when we are killed; elsewhere a kill leaves orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _spawn(
    command: list[str], env: Mapping[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # the caller stops it
        command,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C is ours to handle: services drain before Kafka stops
        preexec_fn=_die_with_parent,
    )


@dataclass
class Stack:
    """A set of children with one life.

    Args:
        home: where logs are written.
        env: added to our own environment for every child.
        on_event: told of starts, deaths and restarts.
        others: process ids, by name, whose memory is watched too.
    """

    home: Path
    env: Mapping[str, str]
    on_event: Callable[[str], None] = lambda text: None
    children: dict[str, Child] = field(default_factory=dict)
    _watch: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    failed: str | None = None
    others: dict[str, Callable[[], int | None]] = field(default_factory=dict)
    _other_peaks: dict[str, int] = field(default_factory=dict)

    def add_service(self, name: str, *, port: int | None = None) -> Child:
        port = port or free_port()
        return self._add(
            name,
            [sys.executable, "-m", f"trending_{name}"],
            {f"{name.upper()}_PORT": str(port)},
            port,
        )

    def _add(self, name: str, command: list[str], env: Mapping[str, str], port: int) -> Child:
        child = Child(
            name=name,
            command=command,
            env={**os.environ, **self.env, **env},
            log=self.home / "logs" / f"{name}.log",
            port=port,
        )
        self.children[name] = child
        return child

    def add_site(self, *, port: int, arguments: list[str]) -> Child:
        command = [sys.executable, "-m", "trending_demo", "--port", str(port), *arguments]
        return self._add("site", command, {}, port)

    def start(self) -> None:
        """Start everything that isn't running, and watch it."""
        for child in self.children.values():
            if not child.alive:
                child.start()
        if self._watch is None:
            self._watch = threading.Thread(target=self._watching, daemon=True)
            self._watch.start()

    def wait_until(self, path_of: Mapping[str, str], *, timeout: float = 90) -> None:
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
                        f"{self.children[name].tail()}"
                    )
                time.sleep(0.1)

    def _watching(self) -> None:
        while not self._stopping.wait(_SAMPLE_EVERY):
            for child in self.children.values():
                if child.alive and child.process:
                    child.peak_bytes = max(child.peak_bytes, _memory(child.process.pid))
                elif child.process is not None:
                    self._restart(child)
            for name, pid_of in self.others.items():
                if pid := pid_of():
                    peak = self._other_peaks.get(name, 0)
                    self._other_peaks[name] = max(peak, _memory(pid))

    def _restart(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.returncode
        if child.restarts >= _MOST_RESTARTS or status == os.EX_CONFIG:
            self.failed = (
                f"{child.name} ended with status {status}; the end of its log:\n{child.tail()}"
            )
            return
        child.restarts += 1
        self.on_event(f"{child.name} ended with status {status}; starting it again")
        if self._stopping.wait(min(0.5 * 2**child.restarts, 10)):
            return
        child.start()

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that don't end in time. Safe to call twice."""
        self._stopping.set()
        if self._watch:
            self._watch.join()
            self._watch = None
        living = [c.process for c in self.children.values() if c.alive and c.process]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + _STOP_WITHIN
        for process in living:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stopping.clear()

    def peak_megabytes(self) -> dict[str, float]:
        peaks = {name: child.peak_bytes for name, child in self.children.items()}
        return {name: round(peak / 2**20, 1) for name, peak in (peaks | self._other_peaks).items()}


def _memory(pid: int) -> int:
    """Resident bytes of a process and its children."""
    try:
        parent = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)])
    except psutil.Error:
        return 0
