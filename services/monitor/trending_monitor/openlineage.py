"""Tells a catalogue of lineage, such as Marquez, which job made what of what: OpenLineage 2.0.2.

A consumer of its own (`python -m trending_monitor.openlineage`), for those who have such a
catalogue: one that is away postpones these events, and nothing else. What is told twice has the
same run, so it changes nothing.

    services        jobs without runs, from the topics and tables that they read and write
    snapshots       runs of `featurizer.snapshot`: tables at a version make a dataset
    trainings       runs of `trainer.training`, from the request on: a dataset makes a model
    decisions       runs of `trainer.gate`: a model is put in force, or isn't
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import requests
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    RunFacet,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
)
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from trending_shared.clock import Clock
from trending_shared.errors import SettingInvalid, Unavailable
from trending_shared.events import (
    DatasetPublished,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ServiceConfigured,
    TrainingRequested,
)
from trending_shared.messages import Message
from trending_shared.process import run
from trending_shared.settings import ConsumerSettings, read_settings
from trending_shared.worker import Base, WorkerApp, worker_app

PRODUCER = "urn:trending-now:monitor"
READS = {"inference": ("models/genres",)}
WRITES = {
    "cleaner": tuple(f"tables/{name}" for name in ("titles", "reviews", "facts", "signals")),
    "featurizer": ("tables/features",),
}
"""What services keep below the store, besides what their runs tell."""

Told = RunEvent | JobEvent


class CatalogueUnavailable(Unavailable):
    """The catalogue of lineage didn't answer, or refused."""


class OpenLineageSettings(ConsumerSettings):
    """Where lineage is told; the names are those that OpenLineage's own clients read."""

    model_config = SettingsConfigDict(env_prefix="OPENLINEAGE_")

    port: int = Field(default=8107, ge=0, le=65535)
    url: str = Field(default="", description="of the catalogue: http://marquez:5000")
    api_key: SecretStr | None = Field(default=None, description="if the catalogue wants one")
    namespace: str = Field(default="trending", description="of jobs")


@dataclass(frozen=True, slots=True)
class Teller:
    """What is told of each event. Pure.

    Args:
        namespace: of jobs.
        store: the object store's URL.
        kafka: `host:port` of a broker.
    """

    namespace: str
    store: str
    kafka: str

    def tell(self, message: Message[Any], at: str) -> Iterator[Told]:
        event = message.event
        match event:
            case ServiceConfigured():
                yield JobEvent(
                    eventTime=at,
                    producer=PRODUCER,
                    job=self._job(event.service, "SERVICE"),
                    inputs=[
                        *(self._topic(InputDataset, topic) for topic in event.consumes),
                        *(self._kept(InputDataset, key) for key in READS.get(event.service, ())),
                    ],
                    outputs=[
                        *(self._topic(OutputDataset, topic) for topic in event.produces),
                        *(self._kept(OutputDataset, key) for key in WRITES.get(event.service, ())),
                    ],
                )
            case DatasetPublished():
                tables = [
                    self._kept(InputDataset, "tables/titles", str(event.table_version)),
                    self._kept(InputDataset, "tables/reviews"),
                ]
                made = [self._kept(OutputDataset, "datasets", event.dataset_id)]
                for state in (RunState.START, RunState.COMPLETE):
                    yield self._run("featurizer.snapshot", message.id, state, at, tables, made)
            case TrainingRequested():
                yield self._run("trainer.training", message.id, RunState.START, at)
            case ModelRegistered():
                yield self._run(
                    "trainer.training",
                    message.causation_id or message.id,
                    RunState.COMPLETE,
                    at,
                    [self._kept(InputDataset, "datasets", event.dataset_id)],
                    [self._model(OutputDataset, event.model, event.model_version)],
                )
            case ModelPromoted():
                model = [self._model(InputDataset, event.model, event.model_version)]
                alias = f"aliases/{event.model}/{event.alias}"
                made = [self._kept(OutputDataset, alias, event.model_version)]
                for state in (RunState.START, RunState.COMPLETE):
                    yield self._run("trainer.gate", message.id, state, at, model, made)
            case ModelRefused(model_version=None):
                # No model came of it: it is the training that failed.
                cause = message.causation_id or message.id
                yield self._run("trainer.training", cause, RunState.FAIL, at, why=event.reasons)
            case ModelRefused():
                model = [self._model(InputDataset, event.model, str(event.model_version))]
                yield self._run("trainer.gate", message.id, RunState.START, at, model)
                yield self._run(
                    "trainer.gate", message.id, RunState.ABORT, at, model, why=event.reasons
                )

    def _run(
        self,
        job: str,
        run_id: UUID,
        state: RunState,
        at: str,
        inputs: list[InputDataset] | None = None,
        outputs: list[OutputDataset] | None = None,
        *,
        why: tuple[str, ...] = (),
    ) -> RunEvent:
        facets: dict[str, RunFacet] = {}
        if why:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message="; ".join(why), programmingLanguage="python"
            )
        return RunEvent(
            eventType=state,
            eventTime=at,
            producer=PRODUCER,
            run=Run(runId=str(run_id), facets=facets),
            job=self._job(job, "BATCH"),
            inputs=inputs or [],
            outputs=outputs or [],
        )

    def _job(self, name: str, processing: str) -> Job:
        facet = job_type_job.JobTypeJobFacet(
            processingType=processing, integration="TRENDING", jobType="JOB"
        )
        return Job(namespace=self.namespace, name=name, facets={"jobType": facet})

    def _topic(self, kind: type[Any], topic: str) -> Any:
        return kind(namespace=f"kafka://{self.kafka}", name=topic)

    def _model(self, kind: type[Any], name: str, version: str) -> Any:
        return self._kept(kind, f"models/{name}", version)

    def _kept(self, kind: type[Any], key: str, version: str | None = None) -> Any:
        """What lies in the store, named as OpenLineage's naming conventions have it."""
        url = urlsplit(self.store)
        namespace = "file" if url.scheme == "file" else f"{url.scheme}://{url.netloc}"
        name = f"{unquote(url.path).rstrip('/')}/{key}"
        facet = dataset_version_dataset.DatasetVersionDatasetFacet
        return kind(
            namespace=namespace,
            name=name if url.scheme == "file" else name.lstrip("/"),
            facets={"version": facet(datasetVersion=version)} if version else {},
        )


def connect(settings: OpenLineageSettings, clock: Clock) -> Callable[[Message[Any]], None]:
    """The handler that tells the catalogue; it raises `CatalogueUnavailable`.

    Raises:
        SettingInvalid: nothing says where the catalogue is.
    """
    if urlsplit(settings.url).scheme not in ("http", "https"):
        raise SettingInvalid("OPENLINEAGE_URL: say where lineage is told, as http://marquez:5000")
    teller = Teller(
        namespace=settings.namespace,
        store=settings.store,
        kafka=settings.kafka.bootstrap_servers.split(",")[0].strip(),
    )
    transport: dict[str, Any] = {"type": "http", "url": settings.url}
    if settings.api_key:
        transport["auth"] = {"type": "api_key", "apiKey": settings.api_key.get_secret_value()}
    client = OpenLineageClient(config={"transport": transport})

    def tell(message: Message[Any]) -> None:
        at = (message.time or clock.now()).isoformat()
        for told in teller.tell(message, at):
            try:
                client.emit(told)
            except requests.RequestException as error:
                raise CatalogueUnavailable(f"{settings.url}: {error}") from error

    return tell


def create_app(settings: OpenLineageSettings | None = None) -> WorkerApp:
    """Build and connect everything; nothing is started."""
    settings = settings or read_settings(OpenLineageSettings)
    base = Base.of("openlineage", settings)
    tell = connect(settings, base.clock)
    for kind in (
        *(ServiceConfigured, DatasetPublished, TrainingRequested),
        *(ModelRegistered, ModelPromoted, ModelRefused),
    ):
        base.consumer.on_each(kind, tell)
    return worker_app(base, produces=())


if __name__ == "__main__":
    run("openlineage", OpenLineageSettings, create_app)
