"""The genre models in service."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from trending_inference.metrics import InferenceMetrics
from trending_inference.serving import InService, Serving
from trending_shared.clock import Clock
from trending_shared.experiments import Experiments, Subject
from trending_shared.features import RECIPES, normalise_text
from trending_shared.onnx_models import ModelUnusable, OnnxModel, load_bundle
from trending_shared.registry import Manifest, ModelRegistry, Pointer

WARM_UP = "A quiet town, a missing child, and a detective who never came home."


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that answered its first text."""

    manifest: Manifest
    thresholds: NDArray[np.float32]
    """Shape (labels,), in the order of `manifest.labels`."""
    graph: OnnxModel

    @property
    def version(self) -> str:
        return self.manifest.version


def load_model(registry: ModelRegistry, name: str, version: str) -> LoadedModel:
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
    return LoadedModel(manifest, thresholds, graph)


class ServingModel(Serving[LoadedModel]):
    """The models of one task."""

    subject: Subject = "models"

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        name: str,
        alias: str,
        experiments: Experiments,
        ttl: timedelta,
        metrics: InferenceMetrics,
        clock: Clock,
    ) -> None:
        super().__init__(
            name, alias=alias, experiments=experiments, ttl=ttl, metrics=metrics, clock=clock
        )
        self._registry = registry

    def _point(self) -> Pointer | None:
        return self._registry.pointer(self.target, self.alias)

    def _load(self, version: str) -> LoadedModel:
        return load_model(self._registry, self.target, version)

    def _show(self, was: InService[LoadedModel], now: InService[LoadedModel]) -> None:
        super()._show(was, now)
        if now.champion is None or now.champion is was.champion:
            return
        info = self._metrics.model_info
        if was.champion:  # what several processes share can't be cleared
            info.labels(*self._told(was.champion)).set(0)
            info.clear()
        self._metrics.swaps.inc()
        self._metrics.model_loaded.set(1)
        self._metrics.model_trained.set(now.champion.manifest.created_at.timestamp())
        info.labels(*self._told(now.champion)).set(1)

    def _told(self, model: LoadedModel) -> tuple[str, ...]:
        """The labels of `model_info`."""
        return self.target, model.version, self.alias, model.manifest.algorithm
