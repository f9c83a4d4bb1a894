"""What commands talk to, as the settings of the environment say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry

from trending_cli.output import Exit, fail
from trending_shared.errors import SettingInvalid
from trending_shared.publishing import KafkaPublisher
from trending_shared.settings import CommonSettings, read_settings


def settings() -> CommonSettings:
    """The environment's settings, or an exit that names the variable."""
    try:
        return read_settings(CommonSettings)
    except SettingInvalid as error:
        raise fail(str(error), Exit.USAGE) from error


def _unreachable(common: CommonSettings) -> Exception:
    return fail(
        f"no Kafka answers at {common.kafka.bootstrap_servers}; start one with `trending up`, "
        "or set KAFKA_BOOTSTRAP_SERVERS",
        Exit.UNREACHABLE,
    )


@asynccontextmanager
async def publisher(common: CommonSettings) -> AsyncIterator[KafkaPublisher]:
    sender = KafkaPublisher(
        common.kafka,
        service="cli",
        code_version=common.code_version,
        registry=CollectorRegistry(),
    )
    try:
        await sender.__aenter__()
    except (KafkaConnectionError, OSError) as error:
        raise _unreachable(common) from error
    try:
        yield sender
    finally:
        await sender.__aexit__(None, None, None)


@asynccontextmanager
async def admin(common: CommonSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**common.kafka.connection)
    try:
        await client.start()
    except (KafkaConnectionError, OSError) as error:
        raise _unreachable(common) from error
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def reader(common: CommonSettings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside of any group, that commits nothing."""
    client = AIOKafkaConsumer(
        **common.kafka.connection, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await client.start()
    except (KafkaConnectionError, OSError) as error:
        await client.stop()
        raise _unreachable(common) from error
    try:
        yield client
    finally:
        await client.stop()
