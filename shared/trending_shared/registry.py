"""The model registry: immutable bundles by content hash, aliases moved by compare-and-swap.

    models/<name>/<version>/model.onnx · manifest.json    written once
    aliases/<name>/<alias>/00000042.json                  created once; the highest number counts

An alias is an append-only sequence: whoever creates the next number has moved it, everyone else has
to look again. That needs nothing of the store but create-only writes, and gives history and
rollback for free.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from trending_shared.errors import AliasMoved, ModelNotFound, ObjectMissing
from trending_shared.storage import ObjectStore

CHAMPION = "champion"


class Histogram(BaseModel):
    """A reference distribution: `shares[i]` of the values lie in [edges[i], edges[i+1])."""

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Manifest(BaseModel):
    """All that is known of a model besides its graph."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    algorithm: str
    labels: tuple[str, ...]
    thresholds: dict[str, float]
    recipe: str
    dataset_id: str
    dataset_manifest: str
    metrics: dict[str, Any]
    reference: dict[str, Histogram]
    parity: dict[str, float]
    created_at: AwareDatetime
    code_version: str
    training_id: str
    wandb_run: str | None = None
    card: str = ""
    onnx_sha256: str
    onnx_bytes: int


class Pointer(BaseModel):
    """One state of an alias."""

    model_config = ConfigDict(frozen=True)

    number: int
    version: str
    moved_at: AwareDatetime
    reasons: tuple[str, ...] = ()
    moved_by: str


class ModelRegistry:
    """Bundles and aliases in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    # ------------------------------------------------------------ bundles

    def register(self, onnx: bytes, manifest: Manifest) -> Manifest:
        """Store a bundle; a second time it is the same bundle and the first manifest stays.

        Raises:
            ValueError: the manifest's version isn't that of this graph and these thresholds.
            StoreUnavailable: the store didn't answer.
        """
        expected = model_version(onnx, manifest.thresholds)
        if manifest.version != expected:
            raise ValueError(f"manifest says {manifest.version}, the bundle is {expected}")
        folder = f"models/{manifest.name}/{manifest.version}"
        self._store.put(f"{folder}/model.onnx", onnx)
        # The manifest comes last and only once: a bundle with a manifest is whole.
        self._store.put_new(f"{folder}/manifest.json", manifest.model_dump_json(indent=1).encode())
        return self.manifest(manifest.name, manifest.version)

    def manifest(self, name: str, version: str) -> Manifest:
        """Raises `ModelNotFound` if there is no such bundle."""
        try:
            data = self._store.get(f"models/{name}/{version}/manifest.json")
        except ObjectMissing as error:
            raise ModelNotFound(f"the registry holds no {name} {version}") from error
        return Manifest.model_validate_json(data)

    def onnx(self, manifest: Manifest) -> bytes:
        """The graph's bytes, checked against the manifest's hash.

        Raises:
            ModelNotFound: the bytes are missing or aren't the ones that were registered.
        """
        try:
            data = self._store.get(f"models/{manifest.name}/{manifest.version}/model.onnx")
        except ObjectMissing as error:
            raise ModelNotFound(f"{manifest.name} {manifest.version} has no graph") from error
        if hashlib.sha256(data).hexdigest() != manifest.onnx_sha256:
            raise ModelNotFound(f"{manifest.name} {manifest.version}: its graph was changed")
        return data

    def versions(self, name: str) -> list[Manifest]:
        """All whole bundles of a name, oldest first."""
        keys = self._store.keys(f"models/{name}")
        found = [
            self.manifest(name, key.split("/")[2]) for key in keys if key.endswith("/manifest.json")
        ]
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.version))

    # ------------------------------------------------------------ aliases

    def pointer(self, name: str, alias: str = CHAMPION) -> Pointer | None:
        """Where an alias points now; none if it never pointed anywhere."""
        keys = self._store.keys(f"aliases/{name}/{alias}")
        return Pointer.model_validate_json(self._store.get(keys[-1])) if keys else None

    def champion(self, name: str, alias: str = CHAMPION) -> Manifest:
        """Raises `ModelNotFound` while the alias points at nothing."""
        pointer = self.pointer(name, alias)
        if pointer is None:
            raise ModelNotFound(f"{name} has no {alias} yet")
        return self.manifest(name, pointer.version)

    def history(self, name: str, alias: str = CHAMPION) -> list[Pointer]:
        """All states of an alias, oldest first."""
        return [
            Pointer.model_validate_json(self._store.get(key))
            for key in self._store.keys(f"aliases/{name}/{alias}")
        ]

    def move(
        self,
        name: str,
        version: str,
        *,
        expected: Pointer | None,
        reasons: tuple[str, ...],
        moved_by: str,
        at: datetime,
        alias: str = CHAMPION,
    ) -> Pointer:
        """Point an alias at a version, if it still stands where the caller saw it.

        Args:
            expected: what `pointer` returned when the caller decided.

        Raises:
            AliasMoved: someone else moved it in between.
            ModelNotFound: there is no such version.
        """
        self.manifest(name, version)
        number = expected.number + 1 if expected else 1
        pointer = Pointer(
            number=number, version=version, moved_at=at, reasons=reasons, moved_by=moved_by
        )
        key = f"aliases/{name}/{alias}/{number:08d}.json"
        if not self._store.put_new(key, pointer.model_dump_json().encode()):
            raise AliasMoved(f"{name} {alias} moved past number {number - 1} meanwhile")
        return pointer


def model_version(onnx: bytes, thresholds: dict[str, float]) -> str:
    """The content hash that names a bundle: graph and thresholds, 16 hex digits of SHA-256."""
    digest = hashlib.sha256(onnx)
    digest.update(json.dumps(thresholds, sort_keys=True).encode())
    return digest.hexdigest()[:16]
