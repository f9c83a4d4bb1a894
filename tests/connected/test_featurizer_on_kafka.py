"""The featurizer as it runs: on a real broker, with everything that `create_app` builds."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.schemas import TITLES, row_of
from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.testing import read_messages
from trending_featurizer.app import create_app
from trending_featurizer.featurizing import FEATURES
from trending_featurizer.settings import FeaturizerSettings
from trending_shared.events import DatasetPublished, DatasetRequested, FeaturesComputed
from trending_shared.messages import Position, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_title_cleaned, a_title_scraped, delivered
from trending_shared.testing.encoding import HashEncoder

pytestmark = [pytest.mark.connected, pytest.mark.timeout(120)]


async def test_titles_become_features_and_a_request_a_dataset_over_a_restart(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    settings = FeaturizerSettings(trending_home=tmp_path / "home", kafka=kafka)
    messages = [first_message(a_title_cleaned(title_id=f"t_{n}")) for n in range(20)]
    titles = OffsetTable(settings.store, "titles", schema=TITLES, owner="cleaner")
    cause = delivered(a_title_scraped())
    titles.append(
        [
            (Position("titles-scraped", 0, n), row_of(cause, message.event, code_version="1"))
            for n, message in enumerate(messages)
        ]
    )
    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    app = create_app(settings, load=HashEncoder)
    async with publisher:
        async with app.start_lifespan_context():
            await publisher.publish(messages[:12])
            computed = await read_messages(kafka, FeaturesComputed.topic, 12)
        again = create_app(settings, load=HashEncoder)
        async with again.start_lifespan_context():
            await publisher.publish(messages)  # twelve of them for the second time
            computed = await read_messages(kafka, FeaturesComputed.topic, 32)
            request = first_message(DatasetRequested(reason="a test"))
            await publisher.publish([request])
            (dataset,) = await read_messages(kafka, DatasetPublished.topic, 1)
    assert {message.causation_id for message in computed} == {message.id for message in messages}
    assert len({message.id for message in computed}) == 20
    assert (dataset.event.titles, dataset.correlation_id) == (20, request.correlation_id)
    features = OffsetTable(settings.store, "features", schema=FEATURES, owner="featurizer")
    assert features.read(["title_id"]).num_rows == 20
