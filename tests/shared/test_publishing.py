"""The publisher without a broker; with one see `tests/connected`."""

import gc
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from trending_shared.errors import BrokerUnavailable
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def test_a_publisher_without_a_broker_says_so_in_a_line_and_leaves_nothing_open(
    nobody: str,
) -> None:
    publisher = KafkaPublisher(
        KafkaSettings(bootstrap_servers=nobody),
        service="test",
        code_version="test",
        registry=CollectorRegistry(),
    )
    with pytest.raises(BrokerUnavailable) as refusal:
        await publisher.__aenter__()
    assert str(refusal.value) == f"no Kafka answers at {nobody} (KafkaConnectionError)"
    del refusal
    gc.collect()  # an open producer would warn here, and warnings are errors
    assert not await publisher.ping()
