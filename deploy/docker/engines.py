"""What builds images and runs containers: Docker, or buildah where no engine answers.

Buildah needs no daemon: with `--isolation chroot` a container is a folder. Its storage is a folder
of our own, and its base is made by debootstrap from where this machine's apt gets its packages.

A container is on the network of this machine, and else as docker-compose.yml has it: its root is
read-only, /tmp in memory, /data a folder, there is no capability and no way to a new one, and the
service is process 1.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psutil

from trending_cli.output import tell
from trending_cli.spawning import spawn
from trending_shared.errors import TrendingError

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deploy/docker/service.Dockerfile"
USER = 10001  # as the recipe has it
_SUITE = "bookworm"
_BASE = "localhost/trending-base"
# Below usr/share; Debian's slim images do without, too.
_FOR_PEOPLE = ("doc", "info", "lintian", "locale", "man")
# Comes before a command: buildah has no --read-only, and no process ids of a container's own.
_CONFINED = (
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-ec", 'mount -o remount,ro,bind /; exec setpriv "$@"', "setpriv"),
    *(f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all"),
    *("--bounding-set=-all", "--no-new-privs"),
)


class EngineFailed(TrendingError):
    """A program that builds or runs images is missing or failed; the message ends as it did."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image says of itself. `size` is in bytes, all layers unpacked."""

    size: int
    user: str
    command: tuple[str, ...]
    healthcheck: tuple[str, ...]
    labels: Mapping[str, str]


class Container(Protocol):
    """A container of one image, with settings; nothing runs in it yet."""

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Run the command as its process 1; what is returned ends with its status."""

    def run(self, command: Sequence[str]) -> str:
        """What another command prints in there. Raises `EngineFailed`."""

    def terminate(self) -> None:
        """Send SIGTERM to process 1."""

    def peak_memory(self) -> int:
        """The most bytes that process 1 has had in memory; 0 if that can't be seen from here."""

    def remove(self) -> None:
        """End it, if it runs, and forget it."""


class Engine(Protocol):
    """`arguments` are those of the recipe."""

    name: str

    def build(self, tag: str, arguments: Mapping[str, str], *, log: Path, afresh: bool) -> None:
        """Raises `EngineFailed`."""

    def facts(self, tag: str) -> Facts: ...

    def container(self, tag: str, *, data: Path, env: Mapping[str, str]) -> Container: ...


def find_engine(folder: Path) -> Engine:
    """Docker if an engine answers, else buildah with its storage in `folder`.

    Raises:
        EngineFailed: neither can be used; the message says what to install.
    """
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "version"], capture_output=True).returncode == 0:
        return Docker(docker)
    if missing := [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]:
        raise EngineFailed(
            f"no Docker engine answers, and {' and '.join(missing)} can't be found "
            "(Debian: apt-get install buildah debootstrap)"
        )
    if os.geteuid() != 0:
        raise EngineFailed(
            "no Docker engine answers; without one this takes root, of this machine or of a user "
            "namespace: buildah unshare make images"
        )
    return Buildah(folder)


def _run(command: Sequence[str | Path], log: Path | None = None) -> str:
    """What a command prints; all it says goes into the log, if one is given.

    Raises:
        EngineFailed: its status isn't 0.
    """
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        where = f" ({log})" if log else ""
        raise EngineFailed(f"{' '.join(map(str, command[:3]))} … failed{where}:\n{said}")
    return done.stdout


def _secrets() -> list[str]:
    """What this machine's package managers are told, for steps that fetch; no layer keeps it."""
    given = {
        "ca": os.environ.get("SSL_CERT_FILE"),
        "pip": os.environ.get("PIP_CONFIG_FILE", "/etc/pip.conf"),
        "uv": os.environ.get("UV_CONFIG_FILE", "/etc/uv/uv.toml"),
    }
    return [
        part
        for id, file in given.items()
        if file and Path(file).is_file()
        for part in ("--secret", f"id={id},src={file}")
    ]


def _arguments(arguments: Mapping[str, str]) -> list[str]:
    return [part for pair in arguments.items() for part in ("--build-arg", "=".join(pair))]


def _settings(env: Mapping[str, str]) -> list[str]:
    return [part for pair in env.items() for part in ("--env", "=".join(pair))]


def _facts(size: int, config: Mapping[str, Any]) -> Facts:
    """Facts of Docker's description of an image, which buildah keeps as well."""
    return Facts(
        size=size,
        user=config["User"],
        command=tuple(config["Cmd"]),
        healthcheck=tuple((config.get("Healthcheck") or {}).get("Test", ())),
        labels=config.get("Labels") or {},
    )


def _peak(pid: int) -> int:
    file = Path(f"/proc/{pid}/status")
    found = re.search(
        r"^VmHWM:\s+(\d+) kB", file.read_text() if file.exists() else "", re.MULTILINE
    )
    return int(found[1]) * 1024 if found else 0


@dataclass
class Docker:
    """An engine that answers."""

    program: str
    name: str = "docker"

    def build(self, tag: str, arguments: Mapping[str, str], *, log: Path, afresh: bool) -> None:
        command = [self.program, "build", "--file", str(RECIPE), "--tag", tag, *_secrets()]
        command += [*_arguments(arguments), *(["--no-cache"] if afresh else [])]
        _run([*command, str(ROOT)], log)

    def facts(self, tag: str) -> Facts:
        [image] = json.loads(_run([self.program, "image", "inspect", tag]))
        return _facts(image["Size"], image["Config"])

    def container(self, tag: str, *, data: Path, env: Mapping[str, str]) -> Container:
        return _DockerContainer(self.program, tag, data, env)


@dataclass(frozen=True)
class _DockerContainer:
    program: str
    tag: str
    data: Path
    env: Mapping[str, str]
    id: str = field(default_factory=lambda: f"trending-{uuid4()}")

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        return spawn([*self._runs(), self.tag, *command], env=os.environ, log=log)

    def run(self, command: Sequence[str]) -> str:
        running = _run([self.program, "ps", "--quiet", "--filter", f"name={self.id}"])
        if running:
            return _run([self.program, "exec", self.id, *command])
        return _run([*self._runs(), self.tag, *command])

    def terminate(self) -> None:
        _run([self.program, "kill", "--signal", "TERM", self.id])

    def peak_memory(self) -> int:
        return _peak(int(_run([self.program, "inspect", "--format", "{{.State.Pid}}", self.id])))

    def remove(self) -> None:
        subprocess.run([self.program, "rm", "--force", self.id], capture_output=True)

    def _runs(self) -> list[str]:
        return [
            *(self.program, "run", "--rm", "--name", self.id, "--network", "host"),
            *("--read-only", "--tmpfs", "/tmp", "--volume", f"{self.data}:/data"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *_settings(self.env),
        ]


class Buildah:
    """No engine: folders, and chroot."""

    name = "buildah"

    def __init__(self, folder: Path) -> None:
        scratch = folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        self._program = [
            *(shutil.which("env") or "env", f"TMPDIR={scratch}"),  # where caches of builds are kept
            *("buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run")),
            *("--storage-driver", "overlay"),
        ]
        self._folder = folder

    def build(self, tag: str, arguments: Mapping[str, str], *, log: Path, afresh: bool) -> None:
        self._make_base()
        _run(
            [
                *(*self._program, "build", "--isolation", "chroot", "--layers"),
                *("--format", "docker"),  # the other one has no health checks
                *("--file", RECIPE, "--tag", tag, "--build-arg", f"BASE={_BASE}"),
                *(*_arguments(arguments), *_secrets()),
                *(["--volume", "/etc/apt:/etc/apt:ro"] if _of_this_suite() else []),
                *(["--no-cache"] if afresh else []),
                ROOT,
            ],
            log,
        )

    def facts(self, tag: str) -> Facts:
        image = json.loads(_run([*self._program, "inspect", "--type", "image", tag]))
        layers = json.loads(image["Manifest"])["layers"]
        return _facts(sum(layer["size"] for layer in layers), image["Docker"]["config"])

    def container(self, tag: str, *, data: Path, env: Mapping[str, str]) -> Container:
        id = _run([*self._program, "from", "--quiet", tag]).strip()
        # Else the volume that the image declares hides the one that is given.
        _run([*self._program, "config", "--volume", "/data-", id])
        return _BuildahContainer(self._program, id, data, env)

    def _make_base(self) -> None:
        found = [*self._program, "inspect", "--type", "image", _BASE]
        if subprocess.run(found, capture_output=True).returncode == 0:
            return
        tell(f"making a base of Debian {_SUITE}")
        log = self._folder / "logs" / "base.log"
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            tree, archive = Path(scratch, "tree"), Path(scratch, "base.tar")
            try:
                # Who may not make devices has to bind the machine's, as it does in LXC.
                kind = [] if _of_this_machine() else ["env", "container=lxc"]
                _run([*kind, "debootstrap", "--variant=minbase", _SUITE, tree, *_mirror()], log)
            finally:
                for name in ("dev", "proc", "sys"):  # which it may have left mounted
                    subprocess.run(["umount", "--recursive", tree / name], capture_output=True)
            _strip(tree)
            _run(["tar", "-c", "--one-file-system", "-C", tree, "-f", archive, "."])
            id = _run([*self._program, "from", "scratch"]).strip()
            _run([*self._program, "add", id, archive, "/"])
            _run([*self._program, "commit", "--rm", "--quiet", id, _BASE])


def _strip(tree: Path) -> None:
    """Take out what is for people or of this machine."""
    for folder in (
        *(tree / "usr/share" / name for name in _FOR_PEOPLE),
        *(tree / "var/cache/apt", tree / "var/lib/apt/lists", tree / "var/log"),
    ):
        shutil.rmtree(folder)
        folder.mkdir()
    for name in ("hostname", "resolv.conf"):
        (tree / "etc" / name).write_text("")


def _of_this_machine() -> bool:
    """Whether our root is that of the machine, not of a user namespace."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]


def _of_this_suite() -> bool:
    """Whether this machine's apt is set up for what images are made of."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return f"VERSION_CODENAME={_SUITE}" in lines


def _mirror() -> list[str]:
    """Where this machine's apt gets Debian from; else nothing, and debootstrap knows one."""
    if not _of_this_suite():
        return []
    wanted = ["--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {_SUITE}"]
    return _run(["apt-get", "indextargets", *wanted]).split()[:1]


@dataclass
class _BuildahContainer:
    program: list[str]
    id: str
    data: Path
    env: Mapping[str, str]
    _started: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        self._started = spawn(self._runs(command), env=os.environ, log=log)
        return self._started

    def run(self, command: Sequence[str]) -> str:
        return _run(self._runs(command))

    def terminate(self) -> None:
        if first := self._first():
            first.terminate()

    def peak_memory(self) -> int:
        first = self._first()
        return _peak(first.pid) if first else 0

    def remove(self) -> None:
        if first := self._first():
            first.kill()
        if self._started:
            self._started.wait()
        subprocess.run([*self.program, "rm", self.id], capture_output=True)

    def _first(self) -> psutil.Process | None:
        """Process 1, as this machine sees it."""
        if self._started is None or self._started.poll() is not None:
            return None
        children = psutil.Process(self._started.pid).children(recursive=True)
        return next((child for child in children if child.uids().real == USER), None)

    def _runs(self, command: Sequence[str]) -> list[str]:
        return [
            *(
                *self.program,
                "run",
                "--isolation",
                "chroot",
                "--user",
                "0:0",
                "--cap-add",
                "CAP_SYS_ADMIN",
            ),
            *("--mount", "type=tmpfs,destination=/tmp", "--volume", f"{self.data}:/data"),
            *(*_settings(self.env), self.id, "--", *_CONFINED, *command),
        ]
