"""A PostgreSQL of one's own: Debian's programs over a temporary folder, with TLS for who wants it.

`TEST_CATALOG=postgresql python -m pytest …` runs every test that has a catalog on such a server.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import trustme

from trending_cli.ports import HOST, accepts, free_ports
from trending_cli.spawning import spawn

USER = "trending"
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 20.0  # seconds


class PostgresMissing(Exception):
    """It isn't installed here; the message says what to install."""


def find_programs(environ: Mapping[str, str]) -> Path:
    """The folder with `initdb` and `postgres`; Debian keeps the servers' off the PATH.

    Raises:
        PostgresMissing: there is none.
    """
    found = shutil.which("initdb", path=environ.get("PATH", ""))
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise PostgresMissing("PostgreSQL isn't installed (Debian: apt-get install postgresql)")


class Postgres:
    """A server that can be stopped and started again, and databases on it."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._programs = find_programs(environ)
        self._environ = {**environ, "LC_ALL": "C.UTF-8"}
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self.authority = folder / "authority.pem"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root.
        self._as_user = (
            [shutil.which("runuser") or "runuser", "-u", "postgres", "--"]
            if os.geteuid() == 0
            else []
        )

    def make(self) -> None:
        """Prepare the folder, once."""
        if self._as_user:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        signer = trustme.CA()
        signer.cert_pem.write_to_path(self.authority)
        certificate = signer.issue_cert(HOST)
        pem, key = self._folder / "server.pem", self._folder / "server.key"
        pem.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        key.chmod(0o600)
        if self._as_user:
            shutil.chown(key, "postgres", "postgres")
        self._tls = ["-c", "ssl=on", "-c", f"ssl_cert_file={pem}", "-c", f"ssl_key_file={key}"]
        options = ["-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self._data), *options)

    def start(self) -> None:
        options = [
            *("-D", str(self._data), "-k", str(self._folder)),
            *("-h", HOST, "-p", str(self.port), "-F", *self._tls),
        ]
        self._process = spawn(
            [*self._as_user, str(self._programs / "postgres"), *options],
            env=self._environ,
            log=self._log,
            at_our_end=signal.SIGKILL if not self._as_user else signal.SIGTERM,
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL didn't start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """At once: open connections are cut."""
        if self._process is None:
            return
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        self._process.wait(STOP_TIMEOUT)
        self._process = None

    def url(self, like: str = "template1") -> str:
        """CATALOG_URL of a new database, a copy of another one; without it, an empty one."""
        name = f"c_{uuid4().hex}"
        self._run(
            *("psql", "-h", HOST, "-p", str(self.port), "-U", USER, "-d", "postgres"),
            *("-q", "-c", f"CREATE DATABASE {name} TEMPLATE {like}"),
        )
        return f"postgresql+asyncpg://{USER}@{HOST}:{self.port}/{name}"

    @property
    def version(self) -> str:
        return self._run("postgres", "--version").strip()

    def _is_ready(self) -> bool:
        return (
            accepts(f"{HOST}:{self.port}")
            and not subprocess.run(
                [self._programs / "pg_isready", "-q", "-h", HOST, "-p", str(self.port)],
                env=self._environ,
            ).returncode
        )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._as_user, str(self._programs / program), *arguments],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def postgres(environ: Mapping[str, str]) -> Iterator[Postgres]:
    """A server that runs meanwhile.

    Raises:
        PostgresMissing: it isn't installed here.
    """
    with tempfile.TemporaryDirectory(prefix="trending-postgres-") as folder:
        server = Postgres(Path(folder), environ)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
