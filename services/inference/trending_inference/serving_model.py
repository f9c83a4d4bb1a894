"""The model in service, and how another takes its place while requests go on.

The alias is looked up when a request asks for the model and the last look is older than a second,
in the background: nobody waits for it, and a process without requests does nothing. A bundle that
can't be served changes nothing but a counter and the log.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import ValidationError

from trending_inference.metrics import InferenceMetrics
from trending_shared.clock import Clock
from trending_shared.errors import ModelNotFound, TrendingError
from trending_shared.features import RECIPES, normalise_text
from trending_shared.onnx_models import ModelUnusable, OnnxModel, load_bundle
from trending_shared.registry import Manifest, ModelRegistry, Pointer

log = structlog.get_logger()

WARM_UP = "A quiet town, a missing child, and a detective who never came home."
TRY_AGAIN = timedelta(seconds=30)  # a bundle that failed is large; its alias is still watched


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that answered its first text."""

    manifest: Manifest
    alias: str
    thresholds: NDArray[np.float32]
    """Shape (labels,), in the order of `manifest.labels`."""
    graph: OnnxModel


def load_model(registry: ModelRegistry, name: str, version: str, alias: str) -> LoadedModel:
    """Fetch a bundle, check it, and run it once.

    Raises:
        ModelNotFound: the bundle is missing, or its graph isn't the one that was registered.
        ModelUnusable: it is made for other texts than ours, or its graph can't be served.
        StoreUnavailable: the store didn't answer.
    """
    try:
        manifest = registry.manifest(name, version)
    except ValidationError as error:
        raise ModelUnusable(f"{name} {version} has no readable manifest") from error
    if manifest.recipe not in RECIPES:
        raise ModelUnusable(f"{version} reads texts by an unknown recipe, {manifest.recipe}")
    if set(manifest.thresholds) != set(manifest.labels):
        raise ModelUnusable(f"{version} hasn't one threshold for each label")
    graph = load_bundle(registry, manifest)
    graph.predict([normalise_text(WARM_UP)])
    thresholds = np.array([manifest.thresholds[label] for label in manifest.labels], np.float32)
    return LoadedModel(manifest, alias, thresholds, graph)


class ServingModel:
    """Hands out the model in service and keeps it up to date."""

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        name: str,
        alias: str,
        ttl: timedelta,
        metrics: InferenceMetrics,
        clock: Clock,
    ) -> None:
        self.name = name
        self.alias = alias
        self._registry = registry
        self._ttl = ttl
        self._metrics = metrics
        self._clock = clock
        self._current: LoadedModel | None = None
        self._looked_at: datetime | None = None
        self._refused: tuple[int, datetime] | None = None
        self._refresh: asyncio.Task[None] | None = None

    def current(self) -> LoadedModel:
        """The model to answer with; the caller keeps it to the end of its request.

        Raises:
            ModelNotFound: there is none yet.
        """
        self.look()
        if self._current is None:
            raise ModelNotFound(f"{self.name} has no usable {self.alias} yet")
        return self._current

    def look(self) -> LoadedModel | None:
        """The model in service, if any; looks the alias up in the background if it is time to."""
        now = self._clock.now()
        fresh = self._looked_at is not None and abs(now - self._looked_at) < self._ttl
        if not fresh and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self.refresh())
        return self._current

    def version(self) -> str | None:
        """That of the model in service, if any."""
        loaded = self.look()
        return loaded.manifest.version if loaded else None

    async def refresh(self) -> None:
        """Look the alias up now; if it has moved, load what it points at and swap."""
        self._looked_at = self._clock.now()
        try:
            loaded = await asyncio.to_thread(self._load_if_moved)
        except TrendingError as error:
            self._metrics.load_failures.labels(error.reason).inc()
            log.error("model_not_loaded", reason=error.reason, detail=str(error))
            return
        if loaded is None:
            return
        info = self._metrics.model_info
        if self._current:  # what several processes share can't be cleared
            info.labels(*_told(self._current)).set(0)
            info.clear()
        self._current = loaded
        manifest = loaded.manifest
        self._metrics.swaps.inc()
        self._metrics.model_loaded.set(1)
        info.labels(*_told(loaded)).set(1)
        log.info("model_in_service", model=manifest.name, version=manifest.version)

    def _load_if_moved(self) -> LoadedModel | None:
        pointer = self._pointer()
        current = self._current
        if pointer is None or (current and current.manifest.version == pointer.version):
            return None
        now = self._clock.now()
        if self._refused:
            number, at = self._refused
            if number == pointer.number and now - at < TRY_AGAIN:
                return None
        try:
            return load_model(self._registry, self.name, pointer.version, self.alias)
        except TrendingError:
            self._refused = pointer.number, now
            raise

    def _pointer(self) -> Pointer | None:
        try:
            return self._registry.pointer(self.name, self.alias)
        except ValidationError as error:
            raise ModelUnusable(f"the alias {self.alias} has no readable document") from error

    async def close(self) -> None:
        """Wait for a look that is under way."""
        if self._refresh:
            await self._refresh


def _told(model: LoadedModel) -> tuple[str, ...]:
    """The labels of `model_info`."""
    manifest = model.manifest
    return manifest.name, manifest.version, model.alias, manifest.algorithm
