"""Terraform itself, run once for all tests here; what it came to is told at the end.

The environments and modules are tested with a provider that makes everything up, and the house is
applied on moto, all at the same time. Git ignores what that leaves in the working tree.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "deploy" / "terraform"
FOLDERS = ("envs/staging", "envs/prod", "policies")
PASSWORD = "0123456789abcdef01234567"
MOTO = TERRAFORM / ".venv" / "bin" / "moto_server"
TOLD = pytest.StashKey[list[str]]()

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Tested:
    """What `terraform test` said of a folder."""

    statuses: Mapping[tuple[str, str], str]
    said: Mapping[tuple[str, str], list[str]]
    resources: Mapping[str, list[Resource]]
    """What there is after a run that applied, by its name."""
    outputs: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Applied:
    """The house on moto."""

    url: str
    resources: list[Resource]
    outputs: Mapping[str, Any]
    state: str
    changes: Mapping[str, set[str]]
    """What a second plan would change: attributes by address."""
    seconds: float
    environment: Mapping[str, str]

    def ask(self, target: str, **body: Any) -> Any:
        """One of AWS's JSON APIs, which moto takes without a signature."""
        service = target.partition("_")[0].lower()
        credential = (
            f"AWS4-HMAC-SHA256 Credential=moto/20260101/eu-central-1/{service}/aws4_request"
        )
        answer = httpx.post(
            self.url,
            json=body,
            headers={
                "X-Amz-Target": target,
                "Content-Type": "application/x-amz-json-1.1",
                "Authorization": f"{credential}, SignedHeaders=host, Signature=0",
            },
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None


@dataclass
class Terraform:
    """The program, with the provider it found."""

    binary: str
    scratch: Path
    plugins: Path | None
    told: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, folder: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.binary, f"-chdir={TERRAFORM / folder}", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                **{name: value for name, value in os.environ.items() if name.startswith("TF_")},
                "TF_IN_AUTOMATION": "1",
                "TF_CLI_ARGS": "-no-color",
                "TF_DATA_DIR": str(self.scratch / folder.replace("/", "-")),
                "CHECKPOINT_DISABLE": "1",
                "AWS_EC2_METADATA_DISABLED": "true",
                **more,
            },
        )

    def init(self, folder: str) -> "subprocess.CompletedProcess[str]":
        plugins = [f"-plugin-dir={self.plugins}"] if self.plugins else []
        return self.run(folder, "init", "-backend=false", "-input=false", *plugins)

    def test(self, folder: str) -> Tested:
        started = time.monotonic()
        assert (begun := self.init(folder)).returncode == 0, begun.stderr
        statuses: dict[tuple[str, str], str] = {}
        said: dict[tuple[str, str], list[str]] = {}
        resources: dict[str, list[Resource]] = {}
        outputs: dict[str, Any] = {}
        for line in self.run(folder, "test", "-json", "-verbose").stdout.splitlines():
            event = json.loads(line)
            run = Path(event.get("@testfile", "")).name, event.get("@testrun", "")
            if event["type"] == "test_run" and "progress" in event["test_run"]:
                if event["test_run"]["progress"] == "complete":
                    statuses[run] = event["test_run"]["status"]
            elif event["type"] == "diagnostic":
                said.setdefault(run, []).append(event["@message"])
            elif event["type"] == "test_state":
                state = event["test_state"]
                resources[run[1]] = list(_resources(state.get("root_module", {})))
                outputs[run[1]] = {
                    name: each["value"] for name, each in state.get("outputs", {}).items()
                }
        seconds = time.monotonic() - started
        return Tested(statuses, said, resources, outputs, seconds)

    def apply(self, url: str) -> Applied:
        started = time.monotonic()
        assert (begun := self.init("moto")).returncode == 0, begun.stderr
        state = self.scratch / "moto.tfstate"
        there = {"AWS_ENDPOINT_URL": url}
        done = self.run(
            *("moto", "apply", "-auto-approve", "-input=false", f"-state={state}"),
            **there,
            TF_VAR_catalog_password=PASSWORD,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        again = self.run(
            *("moto", "plan", "-input=false", f"-state={state}", f"-out={state}.plan"), **there
        )
        assert again.returncode == 0, again.stdout[-3000:] + again.stderr
        shown = json.loads(self.run("moto", "show", "-json", f"{state}.plan", **there).stdout)
        values = shown["prior_state"]["values"]
        return Applied(
            url=url,
            resources=list(_resources(values["root_module"])),
            outputs=values["outputs"]["house"]["value"],
            state=state.read_text(),
            changes={
                one["address"]: _differing(one["change"])
                for one in shown.get("resource_changes", ())
                if one["change"]["actions"] != ["no-op"]
            },
            seconds=time.monotonic() - started,
            environment={
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "moto",
                "AWS_SECRET_ACCESS_KEY": "moto",
                "AWS_REGION": "eu-central-1",
                "AWS_ALLOW_HTTP": "true",
            },
        )


def _differing(change: Mapping[str, Any]) -> set[str]:
    before, after = change["before"] or {}, change["after"] or {}
    return {name for name in after if name in before and before[name] != after[name]}


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", ()):
        if each["mode"] == "managed":
            yield each
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _plugins() -> Path | None:
    """A folder of providers: the one that TF_PLUGIN_DIR names, or one that lies where they do.

    Where none is found Terraform looks by itself: its configuration, its cache, the registry.
    """
    if given := os.environ.get("TF_PLUGIN_DIR"):
        return Path(given)
    for place in (Path.home() / ".terraform.d", Path("/opt"), Path("/usr/local/share/terraform")):
        for found in sorted(place.glob("*/registry.terraform.io/hashicorp/aws")):
            return found.parents[2]
    return None


@pytest.fixture(scope="session")
def terraform(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Terraform:
    """Terraform with its provider; without either all that needs them is skipped."""
    binary = shutil.which("terraform")
    if binary is None:
        pytest.skip("Terraform isn't installed: developer.hashicorp.com/terraform/install")
    told = request.config.stash.setdefault(TOLD, [])
    found = Terraform(binary, tmp_path_factory.mktemp("terraform"), _plugins(), told)
    begun = found.init("policies")
    if begun.returncode != 0:
        pytest.skip(
            "no AWS provider: there is no registry to be reached, and none on disk "
            "(TF_PLUGIN_DIR names a folder of providers, as `terraform providers mirror` makes)"
        )
    version = json.loads(found.run("policies", "version", "-json").stdout)
    (provider,) = version["provider_selections"].values()
    told.append(f"Terraform {version['terraform_version']}, AWS provider {provider}")
    return found


@pytest.fixture(scope="session")
def at_work(terraform: Terraform) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(scope="session")
def begun_on_moto(terraform: Terraform, at_work: ThreadPoolExecutor) -> Iterator[Future[Applied]]:
    """The apply, at work beside all else."""
    if not MOTO.exists():
        none: Future[Applied] = Future()
        none.set_exception(FileNotFoundError(MOTO))
        yield none
        return
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    log = (terraform.scratch / "moto.log").open("wb")
    server = subprocess.Popen(
        [MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, close_fds=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        yield at_work.submit(_apply, terraform, url, server)
    finally:
        server.terminate()
        server.wait()
        log.close()


def _apply(terraform: Terraform, url: str, server: "subprocess.Popen[bytes]") -> Applied:
    while True:  # until it answers, or has died
        try:
            httpx.get(f"{url}/moto-api/", timeout=5)
            break
        except httpx.TransportError:
            if server.poll() is not None:
                raise
            time.sleep(0.2)
    return terraform.apply(url)


@pytest.fixture(scope="session")
def tested(
    terraform: Terraform, at_work: ThreadPoolExecutor, begun_on_moto: Future[Applied]
) -> Mapping[str, Future[Tested]]:
    """What `terraform test` says of each folder, all at work from the first question on."""
    return {folder: at_work.submit(terraform.test, folder) for folder in FOLDERS}


@pytest.fixture(scope="session")
def on_moto(
    terraform: Terraform,
    tested: Mapping[str, Future[Tested]],
    begun_on_moto: Future[Applied],
) -> Applied:
    if not MOTO.exists():
        pytest.skip("moto isn't installed: make install-terraform")
    done = begun_on_moto.result()
    kinds = Counter(each["type"] for each in done.resources)
    terraform.told.append(
        f"moto: {len(done.resources)} resources of {len(kinds)} kinds applied in "
        f"{done.seconds:.0f} s; a second plan changes {len(done.changes)}"
    )
    return done


@pytest.fixture(scope="session", params=["envs/staging", "envs/prod"])
def environment(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def houses(
    environment: str, terraform: Terraform, tested: Mapping[str, Future[Tested]]
) -> Mapping[str, list[Resource]]:
    """Every resource of an environment, by the run that made it."""
    done = tested[environment].result()
    return {run: resources for run, resources in done.resources.items() if resources}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if told := config.stash.get(TOLD, []):
        terminalreporter.section("Terraform")
        for line in told:
            terminalreporter.write_line(line)
