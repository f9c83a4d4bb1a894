"""The audit log as it comes to be: of real events, by monitors that are killed."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_shared.audit import read_entries, verify
from trending_shared.events import ModelRefused
from trending_shared.messages import first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.registry import ModelRegistry
from trending_shared.settings import CommonSettings, KafkaSettings
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, promote

pytestmark = [pytest.mark.connected, pytest.mark.timeout(240)]

EVENTS = 300


def a_monitor(home: Path, bootstrap: str) -> "subprocess.Popen[bytes]":
    told = {
        "TRENDING_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "MONITOR_PORT": "0",
        "MONITOR_REPORTS": "false",
        "MONITOR_AUDIT_EVERY": "PT1S",
        "MONITOR_BATCH_SIZE": "50",
    }
    command = [sys.executable, "-m", "trending_monitor"]
    return subprocess.Popen(command, env=os.environ | told, stderr=subprocess.DEVNULL)


async def test_what_happened_is_entered_once_though_monitors_are_killed(
    fresh_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    kafka = KafkaSettings(bootstrap_servers=fresh_kafka.address)
    store = ObjectStore.at(CommonSettings(trending_home=tmp_path, kafka=kafka).store)
    promoted = promote(ModelRegistry(store), a_graph())
    refusals = [
        first_message(
            ModelRefused(model="genres", model_version=f"{n:016x}", reasons=("no better",))
        )
        for n in range(EVENTS)
    ]

    async def until(entries: int) -> None:
        while True:
            if len(store.keys("audit")) >= entries:
                return
            await asyncio.sleep(0.02)

    publisher = KafkaPublisher(
        kafka, service="test", code_version="1", registry=CollectorRegistry()
    )
    monitors = [a_monitor(tmp_path, fresh_kafka.address)]
    try:
        await until(2)  # its own settings, and the promotion
        async with publisher:
            await publisher.publish(refusals)
            for killed_at in (EVENTS // 4, EVENTS // 2):
                await until(killed_at)
                monitors[-1].kill()
                monitors[-1].wait()
                await publisher.publish(refusals[: EVENTS // 2])  # told once more
                monitors.append(a_monitor(tmp_path, fresh_kafka.address))
            monitors.append(a_monitor(tmp_path, fresh_kafka.address))
            await until(EVENTS + 2)
            marker = first_message(ModelRefused(model="genres", reasons=("the last",)))
            await publisher.publish([marker])
            await until(EVENTS + 3)
    finally:
        for monitor in monitors:
            monitor.kill()
            monitor.wait()
    entries = [*read_entries(store)]
    assert verify(store).intact
    assert Counter(entry.id for entry in entries if entry.kind == "models-refused") == Counter(
        str(message.id) for message in [*refusals, marker]
    )
    assert [entry.details["version"] for entry in entries if entry.document] == [promoted.version]
    [began] = [entry for entry in entries if entry.kind == "services-configured"]
    assert began.details["settings"]["MONITOR_BATCH_SIZE"] == "50"
