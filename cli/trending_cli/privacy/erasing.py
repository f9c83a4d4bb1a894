"""Has an author or a page erased: asks the services, follows their answers, clears the rest.

request in the store    from now on nothing of it is taken any more
services                scraper, cleaner, featurizer, trainer and monitor, in this order
topics                  see `purging`
this machine's files    reports of the command line, and lines of logs
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

from aiokafka import ConsumerRecord

from trending_cli import clients
from trending_cli.privacy.collecting import Belongings
from trending_cli.privacy.needles import Matcher
from trending_cli.privacy.purging import Purged, purge
from trending_cli.privacy.scanning import Scan, Tell, scan_files
from trending_shared.clock import SystemClock
from trending_shared.erasures import Erasure, write_erasure
from trending_shared.errors import TrendingError
from trending_shared.events import ErasureRequested, RecordsErased, RetrainingRequested
from trending_shared.messages import Position, decode, first_message
from trending_shared.settings import CommonSettings
from trending_shared.storage import ObjectStore
from trending_shared.topics import all_event_topics, ensure_topics
from trending_shared.unhandled import DETAIL, REASON
from trending_shared.walk import reading_since

OWNERS = ("scraper", "cleaner", "featurizer", "trainer", "monitor")
_REPORTS = ("quality", "models", "features")  # what the command line writes, and can make anew
_LOGS = re.compile(r"(^|/)(logs|trainer)/|\.log$")


class ErasureParked(TrendingError):
    """A service can't carry an erasure out; the message says why."""


@dataclass
class Erased:
    """What came of it."""

    erasure: Erasure
    answers: dict[str, RecordsErased] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    retraining: str | None = None
    """The id of the event that asks for a model to be trained anew."""
    topics: list[Purged] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        return self.answers["trainer"].models if "trainer" in self.answers else ()

    @property
    def complete(self) -> bool:
        return not self.silent and not any(one.waits_for for one in self.topics)

    def document(self) -> dict[str, Any]:
        return {
            "erasure_id": self.erasure.erasure_id,
            "kind": self.erasure.kind,
            "reason": self.erasure.reason,
            "asked_at": self.erasure.asked_at,
            "complete": self.complete,
            "services": {name: one.counts for name, one in self.answers.items()},
            "no_answer": list(self.silent),
            "datasets": list(self.answers["trainer"].datasets) if self.models else [],
            "models": list(self.models),
            "retraining_requested": self.retraining,
            "topics": [one.document() for one in self.topics],
            "files": self.files,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def erasure_of(found: Belongings, *, id: UUID, reason: str, by: str) -> Erasure:
    """What the services are told."""
    return Erasure(
        erasure_id=str(id),
        kind=found.kind,
        asked_at=SystemClock().now(),
        asked_by=by,
        reason=reason,
        **found.names(),
    )


async def erase(
    common: CommonSettings, erasure: Erasure, matcher: Matcher, *, patience: timedelta, tell: Tell
) -> Erased:
    """Carry an erasure out.

    Args:
        matcher: finds what goes in topics and files.
        patience: how long is waited for services, and then for consumers of topics.

    Raises:
        ErasureParked: a service refused it.
        StoreUnavailable, BrokerUnavailable: store or Kafka didn't answer.
    """
    done = Erased(erasure)
    await asyncio.to_thread(write_erasure, ObjectStore.at(common.store), erasure)
    began = monotonic()
    await _ask(common, done, patience=patience, tell=tell)
    done.seconds["services"] = monotonic() - began
    if done.silent:
        return done  # what they hold could come back into topics
    began = monotonic()
    done.topics = await purge(common, matcher, patience=patience, tell=tell)
    done.seconds["topics"] = monotonic() - began
    done.files = await asyncio.to_thread(clear_files, common.home, matcher)
    return done


async def _ask(common: CommonSettings, done: Erased, *, patience: timedelta, tell: Tell) -> None:
    kafka, erasure = common.kafka, done.erasure
    id = UUID(erasure.erasure_id)
    event = ErasureRequested(
        erasure_id=erasure.erasure_id, kind=erasure.kind, reason=erasure.reason
    )
    async with clients.publisher(common) as sender:
        await ensure_topics(
            all_event_topics(partitions=kafka.partitions),
            kafka.connection,
            kafka.replication_factor,
        )
        async with reading_since(kafka, SystemClock().now()) as log:
            await sender.publish([first_message(event, id=id)])
            heard = monotonic()
            while not _is_over(done):
                for record in await log.take(0.5):
                    if dict(record.headers).get("ce_correlationid") == str(id).encode():
                        _take(done, record, tell)
                        heard = monotonic()
                if monotonic() - heard > patience.total_seconds():
                    done.silent = tuple(name for name in OWNERS if name not in done.answers)
                    return


def _is_over(done: Erased) -> bool:
    answered = done.answers.keys() >= set(OWNERS)
    return answered and (not done.models or done.retraining is not None)


def _take(done: Erased, record: ConsumerRecord, tell: Tell) -> None:
    """Take note of a record of this story."""
    if record.topic.endswith("-dlq"):
        headers = dict(record.headers)
        detail = (headers.get(DETAIL) or headers.get(REASON) or b"").decode("utf-8", "replace")
        raise ErasureParked(f"it is parked in {record.topic}: {detail}")
    if record.topic not in (RecordsErased.topic, RetrainingRequested.topic):
        return
    place = Position(record.topic, record.partition, record.offset)
    message = decode(headers=record.headers, body=record.value, position=place)
    if isinstance(message.event, RetrainingRequested):
        done.retraining = str(message.id)
    elif message.event.service not in done.answers:
        answer = done.answers[message.event.service] = message.event
        tell(f"{answer.service:<11}{_told(answer.counts)}")


def _told(counts: Mapping[str, int]) -> str:
    found = [f"{place} {count:,}" for place, count in counts.items() if count]
    return ", ".join(found) or "held nothing"


def clear_files(home: Path, matcher: Matcher) -> dict[str, str]:
    """Delete reports in which there is something, and blot it out in logs.

    In place, byte by byte: a service may be writing at a log's end.
    """
    scan = Scan()
    scan_files(home, matcher, scan, besides=home / "store")
    done = {}
    for where in sorted({one.where for one in scan.findings}):
        file = home / where
        if where.split("/")[0] in _REPORTS:
            file.unlink(missing_ok=True)
            done[where] = "deleted"
        elif _LOGS.search(where):
            blot(file, matcher)
            done[where] = "blotted"
    return done


def blot(file: Path, matcher: Matcher) -> None:
    """Write asterisks over whatever a file's lines say of it, the lines as long as before."""
    with file.open("r+b") as log:
        at = 0
        for line in iter(log.readline, b""):
            if found := matcher.find_in(line):
                blotted = line
                for needle in found:
                    told = r"\W+".join(map(re.escape, needle.words))
                    blotted = re.sub(
                        told.encode(), lambda one: b"*" * len(one[0]), blotted, flags=re.IGNORECASE
                    )
                log.seek(at)
                log.write(blotted)
                log.seek(at + len(line))
            at += len(line)
