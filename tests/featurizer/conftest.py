"""A catalog of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.catalog import Catalog


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    made = Catalog(f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}")
    await made.create()
    yield made
    await made.close()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> FeaturizerMetrics:
    return FeaturizerMetrics(registry)
