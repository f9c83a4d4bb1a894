"""Runs a command beside a real S3 server: `python tests/s3_server.py COMMAND…`.

The server is versitygw over a temporary folder, built once by Go's own installer and kept in the
user's cache folder. The command finds an empty bucket's name in TEST_S3_BUCKET, and address and
credentials in the variables that every S3 client reads.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trending_cli.ports import HOST, accepts, free_ports
from trending_cli.spawning import spawn

MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
REGION = "us-east-1"
START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 10.0  # seconds


class ServerUnavailable(Exception):
    """The server can't run here; the message says why."""


def _program(environ: Mapping[str, str]) -> Path:
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trending-now"
    return cache / f"versitygw-{VERSION}" / "versitygw"


def is_built(environ: Mapping[str, str]) -> bool:
    """Whether the server can be started at once."""
    return _program(environ).is_file()


def installed(environ: Mapping[str, str]) -> Path:
    """The server's program, built unless the cache has it.

    Raises:
        ServerUnavailable: Go is missing, or couldn't fetch or build the server.
    """
    program = _program(environ)
    if program.is_file():
        return program
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise ServerUnavailable(
            "the S3 server has to be built once, by Go: install Go 1.21 or newer (https://go.dev/dl)"
        )
    tell(f"building versitygw {VERSION}, once; this takes a minute or two")
    cache = program.parent.parent
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as folder:
        built = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env={**environ, "GOBIN": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if built.returncode:
            said = built.stderr.strip().splitlines()
            raise ServerUnavailable(f"Go couldn't build versitygw: {said[-1] if said else ''}")
        program.parent.mkdir(exist_ok=True)
        (Path(folder) / "versitygw").replace(program)
    return program


@contextmanager
def s3_server(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables by which a client finds a bucket on a server that runs meanwhile.

    Raises:
        ServerUnavailable: it couldn't be built, or didn't start.
    """
    program = installed(environ)
    bucket, access, secret = "trending", secrets.token_hex(8), secrets.token_hex(16)
    (port,) = free_ports(1)
    address = f"{HOST}:{port}"
    with tempfile.TemporaryDirectory(prefix="trending-s3-") as folder:
        root, attributes = Path(folder, "buckets"), Path(folder, "attributes")
        (root / bucket).mkdir(parents=True)  # a folder below the root is a bucket
        attributes.mkdir()  # kept apart: not every file system has room for them in files
        log = Path(folder, "log")
        listen = ["--port", address, "--region", REGION, "--keep-alive", "--quiet"]
        server = spawn(
            [str(program), *listen, "posix", "--sidecar", str(attributes), str(root)],
            env={**environ, "ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret},
            log=log,
            at_our_end=signal.SIGKILL,
        )
        try:
            wait_until_up(server, address, log)
            yield {
                "TEST_S3_BUCKET": bucket,
                "AWS_ENDPOINT_URL": f"http://{address}",
                "AWS_ACCESS_KEY_ID": access,
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_REGION": REGION,
                "AWS_ALLOW_HTTP": "true",
            }
        finally:
            stop(server)


def wait_until_up(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        if accepts(address):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()
    raise ServerUnavailable(f"versitygw didn't start: {said[-1] if said else 'no answer'}")


def stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def terminated(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def main(command: Sequence[str]) -> int:
    """The command's exit status; 1 if there is no server, 2 without a command."""
    if not command:
        tell("usage: python tests/s3_server.py COMMAND…")
        return 2
    signal.signal(signal.SIGTERM, terminated)
    try:
        with s3_server(os.environ) as variables:
            status = subprocess.run(command, env={**os.environ, **variables}).returncode
    except ServerUnavailable as error:
        tell(f"error: {error}")
        return 1
    except FileNotFoundError as error:
        tell(f"error: {error.filename}: no such command")
        return 127
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
