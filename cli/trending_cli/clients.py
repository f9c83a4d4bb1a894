"""What commands talk to, as the settings of the environment say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from trending_shared.errors import BrokerUnavailable
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import CommonSettings, KafkaSettings, read_settings

_PATIENCE = 10.0  # seconds for Kafka to answer at all; it does within one, or isn't there


def settings() -> CommonSettings:
    """The environment's settings; raises `SettingInvalid`."""
    return read_settings(CommonSettings)


@asynccontextmanager
async def _started(
    kafka: KafkaSettings, start: Callable[[], Awaitable[Any]], stop: Callable[[], Awaitable[Any]]
) -> AsyncIterator[None]:
    """Between a client's start and its stop; raises `BrokerUnavailable` if it can't start."""
    try:
        try:
            async with asyncio.timeout(_PATIENCE):
                await start()
        except (BrokerUnavailable, KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(
                f"no Kafka answers at {kafka.bootstrap_servers}; start one with `trending up`, "
                "or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        yield
    finally:
        await stop()


@asynccontextmanager
async def publisher(common: CommonSettings) -> AsyncIterator[KafkaPublisher]:
    sender = KafkaPublisher(
        common.kafka,
        service="cli",
        code_version=common.code_version,
        registry=CollectorRegistry(),
    )
    async with _started(
        common.kafka, sender.__aenter__, lambda: sender.__aexit__(None, None, None)
    ):
        yield sender


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**kafka.connection)
    async with _started(kafka, client.start, client.close):
        yield client


@asynccontextmanager
async def reader(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside of any group, that commits nothing; it reads what services read."""
    client = AIOKafkaConsumer(
        **kafka.connection,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with _started(kafka, client.start, client.stop):
        yield client
