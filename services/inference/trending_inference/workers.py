"""Several gateways on one port: a process a core, and one set of metrics.

The parent loads no more of a gateway than its settings. It holds the port, starts the workers,
starts again what died, and passes on what stops it. Each worker listens for itself (SO_REUSEPORT),
so the kernel spreads connections over them; a shared socket would be emptied by whoever wakes
first. Their metrics lie in files that all of them map (the multiprocess mode of Prometheus'
client).
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from types import FrameType

import structlog

from trending_inference.settings import InferenceSettings

log = structlog.get_logger()

PARENT = "INFERENCE_PARENT"
"""The variable by which a worker knows that it is one: its parent's process id."""
METRICS = "PROMETHEUS_MULTIPROC_DIR"
_PAUSE = 1.0  # seconds before a worker that died is started again
_STEADY = 10.0  # seconds of life without which a worker counts as one that can't start
_STOP_WITHIN = 45.0  # seconds; longer than a worker's own graceful timeout


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket bound to an address, which others of ours may bind as well if it is shared.

    Raises:
        OSError: the address can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio switches Nagle's algorithm off for sockets that tell it.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


class Workers:
    """The processes; `run` ends with them."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._metrics = ""
        self._stopping = threading.Event()
        self._children: dict[int, tuple[subprocess.Popen[bytes], float]] = {}

    def run(self) -> int:
        """Until a signal stops it; 0, or the status of a worker that can't start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        settings = self._settings
        try:
            held = listen(settings.host, settings.port, shared=True)
        except OSError as error:
            sys.stderr.write(f"error: {settings.host}:{settings.port} can't be had: {error}\n")
            return 1
        # Bound and never listened on: it holds the port while no worker does.
        with held, TemporaryDirectory(prefix="trending-metrics-") as folder:
            self._metrics = folder
            environment = {
                **os.environ,
                METRICS: folder,
                PARENT: str(os.getpid()),
                "INFERENCE_PORT": str(held.getsockname()[1]),
            }
            status = 0
            while not self._stopping.is_set() and not status:
                for place in range(settings.workers):
                    if place not in self._children:
                        self._children[place] = self._start(environment), time.monotonic()
                status = self._look()
            return self._end() or status

    def _start(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "trending_inference"], env=environment)

    def _look(self) -> int:
        """Wait a little, forget who died; the status of one that couldn't start."""
        self._stopping.wait(_PAUSE)
        for place, (child, started) in list(self._children.items()):
            if (status := child.poll()) is None or self._stopping.is_set():
                continue
            log.error("worker_died", pid=child.pid, status=status)
            del self._children[place]
            _forget(child.pid, self._metrics)
            if status > 0 and time.monotonic() - started < _STEADY:
                return status
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _end(self) -> int:
        """Have all workers finish what they have accepted; the worst status."""
        for child, _ in self._children.values():
            child.terminate()
        until = time.monotonic() + _STOP_WITHIN
        worst = 0
        for child, _ in self._children.values():
            try:
                status = child.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                status = child.wait()
            if status != -signal.SIGTERM:  # of one that hadn't begun to answer yet
                worst = worst or abs(status)
        return worst


def _forget(pid: int, folder: str) -> None:
    """Take a dead worker's gauges out of the metrics; what it counted stays."""
    from prometheus_client import multiprocess  # rarely needed

    multiprocess.mark_process_dead(pid, path=folder)  # type: ignore[no-untyped-call]


def end_with(parent: int) -> None:
    """Stop this process, as a signal would, once its parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
