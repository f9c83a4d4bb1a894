"""What commands talk to, as the settings of the environment say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from trending_shared.publishing import KafkaPublisher
from trending_shared.reading import reader as reader
from trending_shared.reading import started
from trending_shared.settings import CommonSettings, KafkaSettings, read_settings


def settings() -> CommonSettings:
    """The environment's settings; raises `SettingInvalid`."""
    return read_settings(CommonSettings)


@asynccontextmanager
async def publisher(common: CommonSettings) -> AsyncIterator[KafkaPublisher]:
    sender = KafkaPublisher(
        common.kafka,
        service="cli",
        code_version=common.code_version,
        registry=CollectorRegistry(),
    )
    async with started(common.kafka, sender.__aenter__, lambda: sender.__aexit__(None, None, None)):
        yield sender


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**kafka.connection)
    async with started(kafka, client.start, client.close):
        yield client
