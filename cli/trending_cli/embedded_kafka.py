"""Apache Kafka as a local process: one KRaft node, for a system that was told of no other broker.

Everything it keeps lies below `<home>/kafka`:

    address            where the broker listens, or did when it last ran
    data/              the records; they survive a restart and a SIGKILL
    pid                the broker's process id; locked for as long as that process lives
    server.log         warnings and errors of the broker and its JVM
    server.properties  `deploy/kafka/server.properties.template`, filled in at each start
"""

import asyncio
import base64
import fcntl
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from string import Template
from types import TracebackType

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from trending_cli.kafka_distribution import (
    RECIPE,
    KafkaUnavailable,
    class_archive,
    find_java,
    resolve_jars,
)
from trending_cli.ports import HOST, accepts, free_ports, is_free
from trending_cli.spawning import spawn
from trending_shared.settings import ADDRESS_FILE

__all__ = ["EmbeddedKafka", "KafkaUnavailable"]

_ATTEMPTS = 3
_LOCK_PATIENCE = 3.0  # s; what a broker that was just killed takes to be gone
_START_TIMEOUT = 300.0  # s; 3 s on a quiet laptop, two minutes on a crowded build machine
_STOP_TIMEOUT = 60.0  # s; one on a quiet laptop
_SHORT = "-XX:TieredStopAtLevel=1"  # what ends soon isn't worth the better compiler


class EmbeddedKafka:
    """One broker below `home`; also a context manager that starts and stops it.

    Of several that start the same home, one wins and the others get an error that says where it
    listens. A caller that would rather join asks `running(home)` first.

    The JVM has a process group of its own, so Ctrl-C in a terminal leaves it alone until `stop()`.
    On Linux it can't outlive the process that started it, however that one ends; on macOS a
    SIGKILLed parent leaves it behind, where `running(home)` finds it.

    Args:
        home: the folder below which the broker keeps everything, in `kafka/`.
        port: where to listen; without it, where this home listened before, else a free port.
        heap: the JVM's largest heap, as `-Xmx` takes it.
        properties: more lines for the template; of two with one name the later holds.
        users: passwords by name, for a listener that asks for SCRAM-SHA-512; told the storage once.
        on_progress: told in a few words about each step that takes a while.
        environ: where PATH, JAVA_HOME and XDG_CACHE_HOME are looked up.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        heap: str = "512m",
        properties: str = "",
        users: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder = home.absolute() / "kafka"
        self._address_file = home.absolute() / ADDRESS_FILE
        self._port = port
        self._heap = heap
        self._properties = properties
        self._users = dict(users or {})
        self._tell = on_progress or (lambda step: None)
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._address: str | None = None
        self._archive: Path  # of classes, as of the latest start
        self._draft: Path

    @staticmethod
    def running(home: Path) -> str | None:
        """Where the broker of `home` listens, if one runs there now, whoever started it."""
        try:
            with (home / "kafka" / "pid").open() as pid:
                fcntl.flock(pid, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            address = _read(home / ADDRESS_FILE)
            return address if accepts(address) else None
        return None

    @property
    def address(self) -> str:
        """`host:port` of the latest start; it stays the same while the broker is down."""
        if self._address is None:
            raise KafkaUnavailable("The embedded broker hasn't been started yet")
        return self._address

    @property
    def pid(self) -> int | None:
        """The JVM's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def status(self) -> int | None:
        """How the JVM ended, if it did so without being told to."""
        return self._process.poll() if self._process else None

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    def start(self) -> str:
        """Start the broker unless it runs, and wait until it serves clients and consumer groups.

        Blocks for some seconds; the very first start on a machine fetches Kafka, too.

        Returns:
            The bootstrap address.

        Raises:
            KafkaUnavailable: Java or Maven is missing, the port is taken, another process runs this
                home, or the broker didn't come up; then the last lines of its log are part of it.
        """
        if self.pid is not None:
            return self.address
        java = find_java(self._environ)
        jars = resolve_jars(self._environ, self._tell)
        command = [java, f"-Xmx{self._heap}", "-XX:+ExitOnOutOfMemoryError"]
        command += [f"-Dlog4j2.configurationFile={(RECIPE / 'log4j2.xml').as_uri()}"]
        command += ["-Xlog:cds*=off", "-cp", f"{jars}/*"]
        self._archive = class_archive(java, jars)
        self._draft = self._archive.with_suffix(f".{uuid.uuid4().hex}")
        if self._archive.exists():
            command.append(f"-XX:SharedArchiveFile={self._archive}")
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked() as lock:
            self._format([*command, _SHORT])
            self._tell("starting Kafka")
            if not self._archive.exists():
                command.append(f"-XX:ArchiveClassesAtExit={self._draft}")
            for _ in range(_ATTEMPTS):
                if self._try_start(command, lock):
                    return self.address
        raise KafkaUnavailable("Kafka didn't come up: others took each port that it tried")

    def stop(self) -> None:
        """Shut the broker down in order; what hasn't ended after a minute is killed.

        The first broker on a machine takes five seconds longer: it leaves the classes it loaded.
        """
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._draft.exists():
            self._draft.replace(self._archive)
        self._process = None

    def kill(self) -> None:
        """End the broker by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._draft.unlink(missing_ok=True)
        self._process = None

    def __enter__(self) -> "EmbeddedKafka":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold this home's lock. A JVM that inherits the descriptor goes on holding it."""
        deadline = time.monotonic() + _LOCK_PATIENCE
        lock = os.open(self._folder / "pid", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while not _try_lock(lock):
                address = _read(self._address_file)
                if accepts(address) or time.monotonic() > deadline:
                    process = _read(self._folder / "pid") or "unknown"
                    raise KafkaUnavailable(
                        f"Another Kafka runs or starts in {self._folder}: process {process}, "
                        f"at {address or 'no address yet'}"
                    )
                time.sleep(0.05)
            yield lock
        finally:
            os.close(lock)

    def _format(self, java: list[str]) -> None:
        """Prepare the storage, once; `meta.properties` is the last that is written."""
        if (self._folder / "data" / "meta.properties").exists():
            return
        self._tell("preparing Kafka's storage")
        self._write_properties(*free_ports(2))
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        cluster = name.replace("-", "_")  # a leading dash would read as an option
        command = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"]
        for name, password in self._users.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        answer = subprocess.run(
            [*java, *command],
            cwd=self._folder,
            env=dict(self._environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if answer.returncode:
            said = _last_lines(answer.stdout)
            raise KafkaUnavailable(f"Kafka's storage couldn't be prepared:\n{said}")

    def _try_start(self, java: list[str], lock: int) -> bool:
        """Whether the broker came up; it doesn't if someone takes its port in the meantime."""
        port, controller_port = self._choose_ports()
        self._write_properties(port, controller_port)
        self._address = f"{HOST}:{port}"
        _write(self._address_file, self._address)
        log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = process = spawn(
            [*java, "kafka.Kafka", "server.properties"],
            env=self._environ,
            log=self.log,
            cwd=self._folder,
            at_our_end=signal.SIGKILL,
            keep_open=[lock],
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(process.pid).encode(), 0)
        # In a thread of its own: the caller's may be running an event loop already.
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(asyncio.run, self._wait_until_ready(process))
            try:
                ready = waiting.result()
            except BaseException:  # such as Ctrl-C
                self.kill()
                raise
        if ready:
            self._port = port  # clients know it by now: the next start takes it or fails
            return True
        self.kill()
        with self.log.open("rb") as log:
            log.seek(log_start)
            said = log.read().decode(errors="replace")
        if "Address already in use" in said and self._port is None:
            return False
        raise KafkaUnavailable(f"Kafka didn't come up; {self.log} ends with\n{_last_lines(said)}")

    def _choose_ports(self) -> tuple[int, int]:
        port, controller_port = free_ports(2)
        if self._port is not None:
            if not is_free(self._port):
                raise KafkaUnavailable(f"Port {self._port} on {HOST} is taken: choose another")
            return self._port, controller_port
        before = _read(self._address_file).rpartition(":")[2]
        if before.isdigit() and is_free(int(before)):
            return int(before), controller_port
        return port, controller_port

    def _write_properties(self, port: int, controller_port: int) -> None:
        recipe = (RECIPE / "server.properties.template").read_text()
        template = Template(f"{recipe}\n{self._properties}")
        filled = template.substitute(port=port, controller_port=controller_port)
        _write(self._folder / "server.properties", filled)

    async def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """False once the process has ended, or if it doesn't answer in time."""
        formatted = (self._folder / "data" / "meta.properties").read_text()
        found = re.search(r"^cluster\.id=(\S+)", formatted, re.MULTILINE)
        cluster = found[1] if found else ""
        deadline = time.monotonic() + _START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            if accepts(self.address) and await _serves(self.address, cluster):
                return True
            await asyncio.sleep(0.1)
        return False


async def _serves(address: str, cluster: str) -> bool:
    """Whether a broker of that cluster answers, its group coordinator included.

    The cluster is compared because another broker may have been faster to take the port.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=5000)
    try:
        await admin.start()
        if (await admin.describe_cluster())["cluster_id"] != cluster:
            return False
        # Asking makes the broker create its offsets topic, whose one partition holds all groups.
        [answer] = await admin.describe_consumer_groups(["readiness"])
        error_code = answer.groups[0][0]
        return bool(error_code == 0)
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _write(file: Path, text: str) -> None:
    """Readers see the old text or the new one, never half of it."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(text)
    draft.replace(file)


def _last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
