"""The way back from a prediction, whole and with pieces missing."""

import gzip
import hashlib
import io
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trending_featurizer.dataset_rows import ROWS
from trending_shared.catalog import Catalog, predictions, titles
from trending_shared.datasets import DatasetFile, DatasetManifest, manifest_key, rows_key
from trending_shared.errors import PredictionUnknown
from trending_shared.features import RECIPE
from trending_shared.lineage import Lineage, trace_prediction
from trending_shared.onnx_models import load_bundle
from trending_shared.registry import Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import GENRES, a_graph, promote

ID = "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11"
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEXT = "a heist in a haunted house"
PAGE = b"<html><h1>Alien</h1></html>"
KEY = "raw/ab/alien.gz"
DATASET = "0123456789abcdef"


class House:
    """A catalog and a store with one prediction and everything behind it."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.store = ObjectStore.at("memory:///")
        self.models = ModelRegistry(self.store)

    async def fill(self) -> Manifest:
        manifest = promote(self.models, a_graph())
        self.store.put(KEY, gzip.compress(PAGE))
        self.publish_dataset(
            [
                a_row("t_alien", "h_other"),
                a_row("t_copy", "h_text"),
                a_row("t_unrelated", "h_unrelated"),
            ]
        )
        await self.record(manifest)
        return manifest

    async def record(self, manifest: Manifest, **changes: Any) -> None:
        graph = load_bundle(self.models, manifest)
        (values,) = graph.predict([TEXT]).tolist()
        row = {
            "prediction_id": ID,
            "request_id": "order-17",
            "correlation_id": ID,
            "model": manifest.name,
            "model_version": manifest.version,
            "alias": "champion",
            "title_id": "t_alien",
            "text": TEXT,
            "text_hash": "h_text",
            "probabilities": dict(zip(GENRES, (round(v, 6) for v in values), strict=True)),
            "genres": ["Crime"],
            "served_at": AT,
            "duration_ms": 1.5,
            "window_id": None,
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, predictions, [row | changes])

    async def add_title(self, **changes: Any) -> None:
        row = {
            "title_id": "t_alien",
            "source": "demo",
            "source_id": "alien",
            "name": "Alien",
            "kind": "film",
            "genres": [],
            "plot": "A plot.",
            "countries": [],
            "license": "LicenseRef-trending-demo",
            "url": "http://films.example/alien",
            "page_hash": hashlib.sha256(PAGE).hexdigest(),
            "page_key": KEY,
            "fetched_at": AT,
            "content_hash": "c",
            "text_hash": "h_text",
            "popularity": [],
        }
        async with self.catalog.transaction() as connection:
            await self.catalog.upsert(connection, titles, [row | changes])

    def publish_dataset(self, rows: list[dict[str, str]]) -> None:
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, buffer)
        data = buffer.getvalue()
        self.store.put(rows_key(DATASET), data)
        manifest = DatasetManifest(
            dataset_id=DATASET,
            created_at=AT,
            rows=len(rows),
            labelled=len(rows),
            reviews=0,
            columns={field.name: str(field.type) for field in table.schema},
            recipe=RECIPE,
            tables={"titles": 3},
            files=(
                DatasetFile(
                    key=rows_key(DATASET), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)
                ),
            ),
            sources={},
            licenses={},
            labels={},
            code_version="0.1.0",
            requested_by=UUID(ID),
            correlation_id=UUID(ID),
        )
        self.store.put(manifest_key(DATASET), manifest.model_dump_json().encode())

    async def trace(self, *, replay: bool = False, id: str = ID) -> Lineage:
        return await trace_prediction(
            id, catalog=self.catalog, store=self.store, registry=self.models, replay=replay
        )


def a_row(title_id: str, text_hash: str) -> dict[str, str]:
    return {
        "title_id": title_id,
        "text_hash": text_hash,
        "page_url": f"http://films.example/{title_id}",
        "page_hash": hashlib.sha256(PAGE).hexdigest(),
        "page_key": KEY,
        "event_id": f"event of {title_id}",
    }


@pytest.fixture
def house(catalog: Catalog) -> House:
    return House(catalog)


async def test_a_prediction_leads_to_its_model_dataset_rows_and_pages(house: House) -> None:
    manifest = await house.fill()
    found = await house.trace()
    assert found.prediction.text == TEXT
    assert found.prediction.served_at == AT
    assert found.model
    assert found.model.version == manifest.version
    assert found.dataset
    assert (found.dataset.dataset_id, found.dataset.tables) == (DATASET, {"titles": 3})
    assert found.matching_rows == 2
    assert [(row.title_id, row.same_title, row.same_text) for row in found.rows] == [
        ("t_alien", True, False),
        ("t_copy", False, True),
    ]
    assert all(row.page.verified for row in found.rows)
    assert found.rows[0].event_id == "event of t_alien"
    assert found.gaps == ()
    assert found.replay is None


def test_a_row_is_read_by_the_names_that_the_featurizer_writes() -> None:
    assert set(a_row("t_alien", "h_text")) <= set(ROWS.names)


async def test_a_title_that_came_after_the_dataset_leads_to_its_page_in_the_catalog(
    house: House,
) -> None:
    await house.fill()
    house.publish_dataset([a_row("t_unrelated", "h_unrelated")])
    await house.add_title()
    found = await house.trace()
    assert found.matching_rows == 0
    (row,) = found.rows
    assert (row.found_in, row.title_id, row.page.verified) == ("catalog", "t_alien", True)


async def test_a_text_from_outside_leads_to_the_dataset_and_says_that_no_page_is_its_own(
    house: House,
) -> None:
    manifest = await house.fill()
    await house.record(manifest, title_id=None, text_hash="h_outside")
    found = await house.trace()
    assert found.dataset
    assert found.rows == ()
    assert "outside" in found.gaps[0]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (None, "aren't kept any more"),
        (gzip.compress(b"another page"), "were changed"),
        (b"no gzip at all", "are damaged"),
        (gzip.compress(PAGE)[:-9], "are damaged"),
    ],
    ids=["erased", "changed", "no gzip", "cut off"],
)
async def test_a_page_whose_bytes_arent_those_that_were_read_is_not_verified(
    house: House, kept: bytes | None, said: str
) -> None:
    await house.fill()
    if kept is None:
        house.store.delete(KEY)
    else:
        house.store.put(KEY, kept)
    found = await house.trace()
    assert not any(row.page.verified for row in found.rows)
    assert said in found.gaps[0]


async def test_a_dataset_that_was_tampered_with_is_a_gap(house: House) -> None:
    await house.fill()
    house.store.put(rows_key(DATASET), b"PAR1")
    found = await house.trace()
    assert found.dataset
    assert found.rows == ()
    assert any("was changed" in gap for gap in found.gaps)


async def test_what_is_gone_is_named_and_the_rest_is_told(house: House) -> None:
    manifest = await house.fill()
    house.store.delete(manifest_key(DATASET))
    found = await house.trace(replay=True)
    assert found.dataset is None
    assert found.model
    assert found.replay
    house.store.delete(f"models/genres/{manifest.version}/manifest.json")
    found = await house.trace(replay=True)
    assert (found.model, found.replay) == (None, None)
    assert found.prediction.prediction_id == ID
    assert any(gap.startswith("model:") for gap in found.gaps)


async def test_a_replay_gives_the_same_numbers_after_the_champion_has_moved_on(
    house: House,
) -> None:
    await house.fill()
    promote(house.models, a_graph(likely=0.7))
    found = await house.trace(replay=True)
    assert found.replay
    assert found.replay.equal
    assert found.replay.max_difference <= 1e-6
    assert found.replay.probabilities == found.prediction.probabilities


async def test_a_replay_that_differs_says_by_how_much(house: House) -> None:
    manifest = await house.fill()
    await house.record(manifest, probabilities={"Comedy": 0.1, "Crime": 0.65, "Horror": 0.1})
    found = await house.trace(replay=True)
    assert found.replay
    assert not found.replay.equal
    assert found.replay.max_difference == pytest.approx(0.25)


async def test_a_graph_that_was_changed_is_not_replayed(house: House) -> None:
    manifest = await house.fill()
    house.store.put(f"models/genres/{manifest.version}/model.onnx", a_graph(likely=0.7))
    found = await house.trace(replay=True)
    assert found.replay is None
    assert any(gap.startswith("replay:") for gap in found.gaps)


async def test_an_unknown_prediction_has_no_lineage(house: House) -> None:
    with pytest.raises(PredictionUnknown):
        await house.trace(id="11111111-2222-3333-4444-555555555555")
