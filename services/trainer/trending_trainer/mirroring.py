"""W&B made equal to what is here: `python -m trending_trainer.mirroring`.

What the server lacks is brought to it: runs that lie as files, each bundle as an artifact that is
linked into a collection of W&B's registry, and our aliases on it. Nothing here remembers what was
done. An artifact is found by its bundle's version, which is an alias of it in the project and in
the collection; so what a kill has left undone is done by the next call, and nothing twice.

Nobody waits for this: `following` starts it beside the trainer, and a person may at any time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import structlog
import wandb
from pydantic import BaseModel
from wandb.errors import CommError
from wandb.errors import Error as WandbError

from trending_shared.errors import ModelNotFound, SettingInvalid, TrendingError, Unavailable
from trending_shared.logs import configure_logs
from trending_shared.registry import TOKENIZER, Manifest, ModelRegistry
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore
from trending_trainer.kept_runs import is_online, mark_synced, run_id, unsynced
from trending_trainer.settings import TrainerSettings
from trending_trainer.supervising import MODEL, last_line
from trending_trainer.tracking import project, settle

log = structlog.get_logger()

T = TypeVar("T")

_PATIENCE = {
    "WANDB_HTTP_TIMEOUT": "20",  # seconds for a question
    "WANDB_FILE_PUSHER_TIMEOUT": "600",  # for a file
    "WANDB__GRAPHQL_RETRY_MAX": "3",
    "WANDB__FILE_STREAM_RETRY_MAX": "3",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "3",
}
"""W&B's own are much longer; whoever sets one of these decides."""
_SYNC_WITHIN = 300  # seconds; a run takes one, and what isn't done by then is the next time
_END_WITHIN = 10  # seconds
_TOLD = ("macro_f1", "micro_f1", "mean_average_precision", "validation_f1", "latency_seconds")


class WandbUnavailable(Unavailable):
    """W&B didn't answer, or didn't take what it was told."""


class Report(BaseModel):
    """What was done to make W&B equal to what is here."""

    synced: list[str] = []
    """The ids of runs."""
    uploaded: list[str] = []
    """The versions of bundles, here and below."""
    linked: list[str] = []
    moved: dict[str, str] = {}
    """Where aliases point now that pointed elsewhere."""
    failed: list[str] = []
    """What is still missing, and why."""


class Mirror:
    """W&B as a copy of what is here.

    Args:
        collection: `wandb-registry-<registry>/<collection>`, maybe after an organisation.
        home: where runs are kept, and where files lie while they are uploaded.

    Raises:
        WandbUnavailable: the server didn't answer, or refused; what was done stays done.
        StoreUnavailable: our store didn't answer.
    """

    def __init__(self, registry: ModelRegistry, *, collection: str, home: Path) -> None:
        self._registry = registry
        self._collection = collection
        self._home = home
        with _translated():
            self._api = wandb.Api()

    # ------------------------------------------------------------ runs

    def update_runs(self, report: Report) -> None:
        """Have the server hold all runs that lie as files."""
        kept = unsynced(self._home)
        missing = [run for run in kept if not self._has(run)]
        said = _sync(missing)
        for run in kept:
            if run in missing and not self._has(run):
                log.warning("run_not_synced", run=run_id(run), detail=last_line(said))
                report.failed.append(f"run {run_id(run)} isn't whole there")
                continue
            mark_synced(run)
            if run in missing:
                log.info("run_synced", run=run_id(run))
                report.synced.append(run_id(run))

    def _has(self, run: Path) -> bool:
        """Whether the server has all of a run: its end, and its tables.

        The command that brings it there says that it did though files were refused.
        """
        self._api.flush()  # type: ignore[no-untyped-call]  # it answers from memory else
        found = _find(lambda: self._api.run(f"{project()}/{run_id(run)}"))
        if found is None or found.state != "finished":
            return False
        with _translated():
            there = {file.name: file.size for file in found.files(per_page=1000)}
        files = (path for path in (run / "files" / "media").rglob("*") if path.is_file())
        return all(
            there.get(path.relative_to(run / "files").as_posix()) == path.stat().st_size
            for path in files
        )

    # ------------------------------------------------------------ models

    def update_models(self, name: str, report: Report) -> None:
        """Have the collection hold all bundles of a name, and their aliases."""
        aliases = self._registry.aliases(name)  # first, so that all they point at is mirrored
        mirrored = {}
        for manifest in self._registry.versions(name):
            try:
                mirrored[manifest.version] = self._mirror(manifest, report)
            except ModelNotFound as error:
                log.error("model_not_mirrored", version=manifest.version, detail=str(error))
                report.failed.append(str(error))
        for alias, pointer in aliases.items():
            artifact = mirrored.get(pointer.version)
            if artifact is not None and alias not in artifact.aliases:
                with _translated():
                    artifact.aliases.append(alias)
                    artifact.save()
                log.info("alias_mirrored", alias=alias, version=pointer.version)
                report.moved[alias] = pointer.version

    def _mirror(self, manifest: Manifest, report: Report) -> wandb.Artifact:
        """The artifact of a bundle in the collection."""
        version = manifest.version
        if found := self._artifact(f"{self._collection}:{version}"):
            return found
        artifact = self._artifact(f"{project()}/{manifest.name}:{version}")
        if artifact is None:
            artifact = self._upload(manifest)
            log.info("model_uploaded", version=version)
            report.uploaded.append(version)
        with _translated():
            linked = artifact.link(self._collection, aliases=[version])
        log.info("model_linked", version=version, collection=self._collection)
        report.linked.append(version)
        return linked

    def _artifact(self, path: str) -> wandb.Artifact | None:
        return _find(lambda: cast(wandb.Artifact, self._api.artifact(path)))

    def _upload(self, manifest: Manifest) -> wandb.Artifact:
        """Bring a bundle to W&B, by a run of its own beside that of the fit.

        The fit's run isn't gone on with: that would change its state and duration.
        """
        files = {
            "model.onnx": self._registry.onnx(manifest),
            "manifest.json": manifest.model_dump_json(indent=1).encode(),
            "card.md": manifest.card.encode(),
        }
        if tokenizer := self._registry.tokenizer(manifest):
            files[TOKENIZER] = tokenizer
        folder = self._home / "wandb" / "uploads" / manifest.version
        try:
            with _translated():
                return self._log(manifest, files, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _log(self, manifest: Manifest, files: Mapping[str, bytes], folder: Path) -> wandb.Artifact:
        folder.mkdir(parents=True, exist_ok=True)
        artifact = wandb.Artifact(manifest.name, type="model", metadata=describe(manifest))
        for name, content in files.items():
            (folder / name).write_bytes(content)
            artifact.add_file(str(folder / name), policy="immutable", skip_cache=True)
        run = wandb.init(
            project=project(),
            id=f"mirror-{manifest.version}",
            job_type="mirror",
            group=manifest.training_id,
            config={"wandb_run": manifest.wandb_run, "event_id": manifest.training_id},
            mode="online",
            dir=folder,
            settings=wandb.Settings(
                console="off",
                silent=True,
                finish_timeout=30,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )
        with run:
            run.log_artifact(artifact, aliases=[manifest.version]).wait()
        return artifact


def describe(manifest: Manifest) -> dict[str, Any]:
    """What W&B is told of a bundle beside its files."""
    return {
        "version": manifest.version,
        "store_key": f"models/{manifest.name}/{manifest.version}",
        "algorithm": manifest.algorithm,
        "dataset_id": manifest.dataset_id,
        "code_version": manifest.code_version,
        "event_id": manifest.training_id,
        "wandb_run": manifest.wandb_run,
        "created_at": manifest.created_at.isoformat(),
        "metrics": {name: manifest.metrics[name] for name in _TOLD if name in manifest.metrics},
    }


def _find(ask: Callable[[], T]) -> T | None:
    """What W&B answers; none if there is no such thing."""
    with _translated():
        try:
            return ask()
        except CommError as error:
            # What isn't there is a ValueError in it; an outage is not.
            missing = ("not found", "Could not find")
            if isinstance(error.exc, ValueError) and any(one in str(error) for one in missing):
                return None
            raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (WandbError, ValueError, RuntimeError, OSError) as error:
        raise WandbUnavailable(" ".join(str(error).split()) or type(error).__name__) from error


def _sync(runs: Sequence[Path]) -> bytes:
    """Bring runs that lie as files to the server, by W&B's own command; what it said."""
    if not runs:
        return b""
    command = ("sync", "--include-synced", "--project", project())
    with _translated():
        try:
            return subprocess.run(
                [sys.executable, "-m", "wandb", *command, *map(str, runs)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_SYNC_WITHIN,
                check=False,  # its status is 0 whatever happened
            ).stdout
        except subprocess.TimeoutExpired as error:
            return (error.output or b"") + f"\nnot done in {_SYNC_WITHIN} s".encode()


def bring(settings: TrainerSettings) -> Report:
    """Bring to W&B what it lacks.

    Raises:
        StoreUnavailable: our store didn't answer.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    settings.home.mkdir(parents=True, exist_ok=True)
    settle(settings.home)
    report = Report()
    registry = ModelRegistry(ObjectStore.at(settings.store))
    try:
        mirror = Mirror(registry, collection=settings.wandb_collection, home=settings.home)
        mirror.update_runs(report)
        mirror.update_models(MODEL, report)
    except WandbUnavailable as error:
        log.warning("mirror_broken_off", detail=str(error))
        report.failed.append(f"{error.reason}: {error}")
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its status is 0, 1 if W&B still lacks something, 78 for a setting."""
    options = parser().parse_args(arguments)
    try:
        settings = read_settings(TrainerSettings)
        configure_logs(
            service="trainer-mirror", level=settings.log_level, format=settings.log_format
        )
        if not is_online():
            raise SettingInvalid("W&B is offline; set WANDB_API_KEY, and no WANDB_MODE")
        report = bring(settings)
    except SettingInvalid as error:
        sys.stderr.write(f"error: {error}\n")
        return os.EX_CONFIG
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on\n")
        return 130
    sys.stdout.write(f"{report.model_dump_json() if options.json else told(report)}\n")
    return 1 if report.failed else 0


def told(report: Report) -> str:
    """A report in lines."""
    lines = [
        *(f"run {run} was synced" for run in report.synced),
        *(f"model {version} was uploaded" for version in report.uploaded),
        *(f"model {version} was linked" for version in report.linked),
        *(f"{alias} is now {version}" for alias, version in report.moved.items()),
        *(f"missing: {why}" for why in report.failed),
    ]
    return "\n".join(lines or ["W&B has everything"])


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trending_trainer.mirroring",
        description="Bring to W&B what it lacks of our runs, models and aliases. The trainer does "
        "so by itself; may be stopped and repeated at any time.",
        epilog="Settings are the trainer's (TRAINER_WANDB_COLLECTION, STORE_URL) and W&B's own "
        "(WANDB_API_KEY, WANDB_PROJECT, WANDB_ENTITY). The status is 1 if something is missing "
        "still, 78 if a setting is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")
    return parser


def end(status: int) -> NoReturn:
    """End the process, without W&B's own hook: after an outage that may wait for ever."""
    ending = threading.Thread(target=wandb.teardown, daemon=True)
    ending.start()
    ending.join(_END_WITHIN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    end(main())
