"""The model registry: immutable bundles by content hash, aliases moved by compare-and-swap.

    models/<name>/<version>/model.onnx · tokenizer.json · … · manifest.json    written once
    aliases/<name>/<alias>/00000042.json                  created once; the highest number counts

An alias is an append-only sequence: whoever creates the next number has moved it, everyone else has
to look again. That needs nothing of the store but create-only writes, and gives history and
rollback for free.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from trending_shared.errors import AliasMoved, ModelNotFound, ObjectMissing, Rejected
from trending_shared.storage import ObjectStore

CHAMPION = "champion"
TOKENIZER = "tokenizer.json"
CARD_HEADINGS = (
    *("Intended use", "Limits", "How good it is", "Where it is weak", "Ethics"),
    *("Where it comes from", "Licences"),
)
"""What a card must have."""


class Histogram(BaseModel):
    """A reference distribution: `shares[i]` of the values lie in [edges[i], edges[i+1])."""

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class Manifest(BaseModel):
    """All that is known of a model besides its files."""

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
    params: dict[str, dict[str, Any]] = {}
    """What each fitted family was told, by family."""
    reference: dict[str, Histogram]
    parity: dict[str, float]
    created_at: AwareDatetime
    code_version: str
    training_id: str
    wandb_run: str | None = None
    card: str = ""
    onnx_sha256: str
    onnx_bytes: int
    files: dict[str, str] = {}
    """Of what lies beside the graph, the SHA-256 by name."""

    def missing(self) -> tuple[str, ...]:
        """What a bundle must tell and this one doesn't; empty if it is complete."""
        wanted = {
            "a threshold for each label": set(self.thresholds) == set(self.labels),
            "the reference for drift": {f"genre:{label}" for label in self.labels}
            <= set(self.reference),
            "the comparison with the trained model": {"max_difference", "label_changes", "rows"}
            <= set(self.parity),
            **{
                f"metrics: {name}": name in self.metrics
                for name in ("macro_f1", "macro_f1_interval", "calibration", "genres", "slices")
            },
            **{f"card: {heading}": f"\n## {heading}\n" in self.card for heading in CARD_HEADINGS},
        }
        return tuple(name for name, there in wanted.items() if not there)


class BundleIncomplete(Rejected):
    """A bundle lacks something that people need before they trust it; it isn't registered."""


class Pointer(BaseModel):
    """One state of an alias."""

    model_config = ConfigDict(frozen=True)

    number: int
    version: str
    moved_at: AwareDatetime
    reasons: tuple[str, ...] = ()
    moved_by: str


class Aliases:
    """Where names point, for whatever has names and versions."""

    def __init__(self, store: ObjectStore, folder: str = "aliases") -> None:
        self._store = store
        self._folder = folder

    def pointer(self, name: str, alias: str = CHAMPION) -> Pointer | None:
        """Where an alias points now; none if it never pointed anywhere."""
        keys = self._store.keys(f"{self._folder}/{name}/{alias}")
        return Pointer.model_validate_json(self._store.get(keys[-1])) if keys else None

    def history(self, name: str, alias: str = CHAMPION) -> list[Pointer]:
        """All states of an alias, oldest first."""
        return [
            Pointer.model_validate_json(self._store.get(key))
            for key in self._store.keys(f"{self._folder}/{name}/{alias}")
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
        """
        number = expected.number + 1 if expected else 1
        pointer = Pointer(
            number=number, version=version, moved_at=at, reasons=reasons, moved_by=moved_by
        )
        key = f"{self._folder}/{name}/{alias}/{number:08d}.json"
        if not self._store.put_new(key, pointer.model_dump_json().encode()):
            raise AliasMoved(f"{name} {alias} moved past number {number - 1} meanwhile")
        return pointer


class ModelRegistry:
    """Bundles and aliases in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._aliases = Aliases(store)

    # ------------------------------------------------------------ bundles

    def register(
        self, onnx: bytes, manifest: Manifest, files: Mapping[str, bytes] | None = None
    ) -> Manifest:
        """Store a bundle; a second time it is the same bundle and the first manifest stays.

        Args:
            files: what lies beside the graph, as `manifest.files` says.

        Raises:
            BundleIncomplete: the manifest lacks something; see `Manifest.missing`.
            ValueError: the manifest's version or hashes aren't those of these files.
            StoreUnavailable: the store didn't answer.
        """
        if missing := manifest.missing():
            raise BundleIncomplete(f"{manifest.algorithm} lacks {', '.join(missing)}")
        files = files or {}
        expected = model_version(onnx, manifest.thresholds, files.get(TOKENIZER))
        if manifest.version != expected:
            raise ValueError(f"manifest says {manifest.version}, the bundle is {expected}")
        if manifest.files != {name: hash_file(data) for name, data in files.items()}:
            raise ValueError(f"manifest of {expected} tells of other files")
        folder = f"models/{manifest.name}/{manifest.version}"
        known = self._store.exists(f"{folder}/manifest.json")
        for name, data in () if known else {"model.onnx": onnx, **files}.items():
            self._store.put(f"{folder}/{name}", data)
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

    def file(self, manifest: Manifest, name: str) -> bytes:
        """What lies beside the graph, checked like it.

        Raises:
            ModelNotFound: the bundle has no such file, or it isn't the one that was registered.
        """
        try:
            data = self._store.get(f"models/{manifest.name}/{manifest.version}/{name}")
        except ObjectMissing as error:
            raise ModelNotFound(f"{manifest.name} {manifest.version} has no {name}") from error
        if hash_file(data) != manifest.files.get(name):
            raise ModelNotFound(f"{manifest.name} {manifest.version}: its {name} was changed")
        return data

    def replace_file(self, manifest: Manifest, name: str, data: bytes) -> None:
        """Put another file beside the graph, because something was erased from it.

        Whoever is killed in here goes on with `finish_replacing`.
        """
        folder = f"models/{manifest.name}/{manifest.version}"
        self._store.put(f"{folder}/{name}.new", data)
        files = {**manifest.files, name: hash_file(data)}
        renewed = manifest.model_copy(update={"files": files})
        self._store.put(f"{folder}/manifest.json", renewed.model_dump_json(indent=1).encode())
        self.finish_replacing(renewed, name)

    def finish_replacing(self, manifest: Manifest, name: str) -> None:
        """Make a file the one that the manifest tells of already, if it was about to be."""
        folder = f"models/{manifest.name}/{manifest.version}"
        try:
            data = self._store.get(f"{folder}/{name}.new")
        except ObjectMissing:
            return
        if hash_file(data) == manifest.files.get(name):
            self._store.put(f"{folder}/{name}", data)
        self._store.delete(f"{folder}/{name}.new")

    def tokenizer(self, manifest: Manifest) -> bytes | None:
        """What a graph that reads tokens reads them with; raises as `file` does."""
        return self.file(manifest, TOKENIZER) if TOKENIZER in manifest.files else None

    def versions(self, name: str) -> list[Manifest]:
        """All whole bundles of a name, oldest first."""
        keys = self._store.keys(f"models/{name}")
        found = [
            self.manifest(name, key.split("/")[2]) for key in keys if key.endswith("/manifest.json")
        ]
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.version))

    def keys(self, name: str) -> frozenset[str]:
        """The keys of all whole bundles and of all states of aliases; they only become more."""
        bundles = (k for k in self._store.keys(f"models/{name}") if k.endswith("/manifest.json"))
        return frozenset([*bundles, *self._store.keys(f"aliases/{name}")])

    # ------------------------------------------------------------ aliases

    def pointer(self, name: str, alias: str = CHAMPION) -> Pointer | None:
        """Where an alias points now; none if it never pointed anywhere."""
        return self._aliases.pointer(name, alias)

    def champion(self, name: str, alias: str = CHAMPION) -> Manifest:
        """Raises `ModelNotFound` while the alias points at nothing."""
        pointer = self.pointer(name, alias)
        if pointer is None:
            raise ModelNotFound(f"{name} has no {alias} yet")
        return self.manifest(name, pointer.version)

    def aliases(self, name: str) -> dict[str, Pointer]:
        """Where each alias of a name points now."""
        last = {key.split("/")[2]: key for key in self._store.keys(f"aliases/{name}")}
        return {
            alias: Pointer.model_validate_json(self._store.get(key)) for alias, key in last.items()
        }

    def history(self, name: str, alias: str = CHAMPION) -> list[Pointer]:
        """All states of an alias, oldest first."""
        return self._aliases.history(name, alias)

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
        return self._aliases.move(
            name,
            version,
            expected=expected,
            reasons=reasons,
            moved_by=moved_by,
            at=at,
            alias=alias,
        )


def model_version(
    onnx: bytes, thresholds: Mapping[str, float], tokenizer: bytes | None = None
) -> str:
    """The content hash that names a bundle: 16 hex digits of SHA-256.

    Of what decides an answer: the graph, the thresholds, and the tokenizer if there is one.
    """
    digest = hashlib.sha256(onnx)
    digest.update(json.dumps(dict(thresholds), sort_keys=True).encode())
    digest.update(tokenizer or b"")
    return digest.hexdigest()[:16]


def hash_file(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
