"""Counts of its own for each test."""

import pytest
from prometheus_client import CollectorRegistry

from trending_featurizer.metrics import FeaturizerMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> FeaturizerMetrics:
    return FeaturizerMetrics(registry)
