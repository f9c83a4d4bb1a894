"""The promises of delivery, as FastStream and aiokafka were told them."""

from typing import Any

from faststream import AckPolicy
from prometheus_client import CollectorRegistry

from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import KafkaSettings
from trending_shared.topics import RETRY_DELAYS, dead_letter_topic, group_topics, retry_topic


def subscriber(app: Any) -> Any:
    (only,) = app.broker.subscribers
    return only


def test_five_services_consume_and_the_gateway_does_not(workers: dict[str, Any]) -> None:
    assert set(workers) == {"scraper", "cleaner", "featurizer", "trainer", "monitor"}


def test_a_failed_batch_is_read_again(workers: dict[str, Any]) -> None:
    for app in workers.values():
        assert subscriber(app).ack_policy is AckPolicy.NACK_ON_ERROR
        assert subscriber(app)._connection_args["enable_auto_commit"] is False


def test_a_new_group_starts_at_the_first_record(workers: dict[str, Any]) -> None:
    for app in workers.values():
        assert subscriber(app)._connection_args["auto_offset_reset"] == "earliest"


def test_what_a_transaction_took_back_is_never_seen(workers: dict[str, Any]) -> None:
    for app in workers.values():
        assert subscriber(app)._connection_args["isolation_level"] == "read_committed"


def test_a_service_is_one_group_of_its_own_name(workers: dict[str, Any]) -> None:
    for name, app in workers.items():
        assert subscriber(app).group_id == name
        assert app.consumer.service == name


def test_a_service_reads_its_topics_and_their_retries(workers: dict[str, Any]) -> None:
    for name, app in workers.items():
        topics = {event.topic for event in app.consumer.consumes}
        waiting = {retry_topic(topic, name, delay) for topic in topics for delay in RETRY_DELAYS}
        assert set(subscriber(app).topic_names) == topics | waiting


def test_every_consumed_topic_has_a_place_for_what_can_never_be_handled(
    workers: dict[str, Any],
) -> None:
    for name, app in workers.items():
        created = {spec.name for spec in group_topics(app.consumer.consumes, name)}
        assert {dead_letter_topic(event.topic, name) for event in app.consumer.consumes} <= created


def test_nobody_creates_topics_by_misspelling_them(workers: dict[str, Any]) -> None:
    for app in workers.values():
        assert app.broker.config.broker_config.allow_auto_create_topics is False


async def test_the_producer_is_idempotent_and_waits_for_all_replicas() -> None:
    publisher = KafkaPublisher(
        KafkaSettings(), service="test", code_version="test", registry=CollectorRegistry()
    )
    producer = publisher._create_producer()
    await producer.stop()
    assert producer._txn_manager is not None
    assert producer._sender._acks == -1
