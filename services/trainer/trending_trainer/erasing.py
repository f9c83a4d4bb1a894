"""Lists the models that were trained on what is erased, and erases what their bundles tell of it.

What a model has learned stays in its graph until another takes its place, as the monitor asks.
"""

import asyncio
import io
import zipfile
from collections.abc import Collection

import numpy as np
import structlog

from trending_shared.erasures import Erasure, read_erasure
from trending_shared.errors import ModelNotFound
from trending_shared.events import RecordsErased
from trending_shared.kept_answers import ANSWERS
from trending_shared.messages import Message
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

AFTER = "featurizer"


class Eraser:
    """Raises `StoreUnavailable` when the store doesn't answer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._registry = ModelRegistry(store)

    async def on_records_erased(
        self, message: Message[RecordsErased]
    ) -> list[Message[RecordsErased]]:
        if message.event.service != AFTER:
            return []
        return [message.leads_to(await asyncio.to_thread(self._erase, message.event))]

    def _erase(self, before: RecordsErased) -> RecordsErased:
        erasure = read_erasure(self._store, before.erasure_id)
        trained = self._trained_on(set(before.datasets))
        rows = sum(self._erase_answers(manifest, erasure) for manifest in trained)
        models = tuple(f"{one.name}:{one.version}" for one in trained)
        counts = {"models/answers": rows}
        log.info("records_erased", erasure=erasure.erasure_id, models=len(models), **counts)
        return RecordsErased(
            erasure_id=erasure.erasure_id,
            service="trainer",
            counts=counts,
            datasets=before.datasets,
            models=models,
        )

    def _trained_on(self, datasets: Collection[str]) -> list[Manifest]:
        found = []
        for key in self._store.keys("models"):
            if not key.endswith("/manifest.json"):
                continue
            _, name, version, _ = key.split("/")
            manifest = self._registry.manifest(name, version)
            if manifest.dataset_id in datasets:
                found.append(manifest)
        return found

    def _erase_answers(self, manifest: Manifest, erasure: Erasure) -> int:
        """Erase a bundle's answers to titles of an erased page; how many there were."""
        self._registry.finish_replacing(manifest, ANSWERS)
        try:
            content = self._registry.file(manifest, ANSWERS)
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
            goes = np.array([erasure.names_title(one) for one in arrays["title_ids"].astype(str)])
        except (ModelNotFound, zipfile.BadZipFile, ValueError, KeyError) as error:
            log.warning("answers_unreadable", version=manifest.version, detail=str(error))
            return 0
        if not goes.any():
            return 0
        buffer = io.BytesIO()
        left = {name: values[~goes] for name, values in arrays.items()}
        np.savez_compressed(buffer, allow_pickle=False, **left)
        self._registry.replace_file(manifest, ANSWERS, buffer.getvalue())
        return int(goes.sum())
