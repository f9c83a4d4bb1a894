"""Writes the audit log: from events, and from the documents that aliases and experiments are."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trending_monitor.metrics import MonitorMetrics
from trending_shared.audit import AuditLog, Fact, verify
from trending_shared.clock import Clock
from trending_shared.errors import StoreUnavailable
from trending_shared.events import RetrainingDecided, ServiceConfigured
from trending_shared.messages import Message
from trending_shared.storage import ObjectStore

log = structlog.get_logger()

FOLDERS = ("aliases", "experiments")
"""Where documents lie, each written once, with `reasons`, who wrote it and when: what counts of
promotions and experiments, whoever made them."""
DOCUMENTS = "documents-written"
_SAID_AGAIN: Mapping[str, Sequence[str]] = {
    ServiceConfigured.topic: ("settings", "code_version", "consumes", "produces"),
    RetrainingDecided.topic: ("retrain", "codes", "model_version"),
}
"""What may be told again and again, and what must differ for another entry."""
CHECKED = timedelta(days=1)


class Auditor:
    """Enters what happened, each once, whichever monitor is told and however often."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        metrics: MonitorMetrics,
        clock: Clock,
        every: timedelta,
    ) -> None:
        self._store = store
        self._log = AuditLog(store)
        self._metrics = metrics
        self._clock = clock
        self._every = every
        self._alone = asyncio.Lock()

    async def enter(self, messages: Sequence[Message[Any]]) -> None:
        """Enter events; raises `StoreUnavailable` when the store doesn't answer."""
        now = self._clock.now()
        await self._enter([fact_of(message, now) for message in messages])

    async def look(self) -> None:
        """Enter the documents that were written since, in the order in which they say they were."""
        async with self._alone:
            await asyncio.to_thread(self._log.read_on)
            keys = [
                key
                for folder in FOLDERS
                for key in await asyncio.to_thread(self._store.keys, folder)
                if key not in self._log
            ]
            now = self._clock.now()
            facts = await asyncio.to_thread(lambda: [_read(self._store, key, now) for key in keys])
        await self._enter(sorted(facts, key=lambda fact: (fact.at, fact.id)))

    async def check(self) -> None:
        """Verify the whole log, and say what is wrong."""
        verdict = await asyncio.to_thread(verify, self._store)
        for problem in verdict.problems:
            log.error("audit_log_broken", number=problem.number, what=problem.what)
        self._metrics.audit_problems.set(len(verdict.problems))
        self._metrics.audit_checked.set(self._clock.now().timestamp())
        log.info("audit_log_checked", entries=verdict.entries, head=verdict.head)

    async def run(self) -> None:
        """Look and check until it is cancelled."""
        checked = None
        while True:
            try:
                await self.look()
                if checked is None or self._clock.now() - checked >= CHECKED:
                    await self.check()
                    checked = self._clock.now()
            except StoreUnavailable as error:
                log.warning("audit_postponed", reason=str(error))
            await asyncio.sleep(self._every.total_seconds())

    async def _enter(self, facts: Sequence[Fact]) -> None:
        async with self._alone:
            await asyncio.to_thread(self._append, facts)
            self._metrics.audit_entries.set(len(self._log))

    def _append(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if self._says_nothing_new(fact):
                continue
            if entry := self._log.append(fact):
                log.info(
                    "audit_entered",
                    number=entry.number,
                    kind=entry.kind,
                    subject=entry.subject,
                    hash=self._log.head,
                )

    def _says_nothing_new(self, fact: Fact) -> bool:
        """Whether a service began with the settings that it had, or the same no was said again."""
        if fact.kind not in _SAID_AGAIN:
            return False
        self._log.read_on()
        last = self._log.last.get((fact.kind, fact.subject))
        names = _SAID_AGAIN[fact.kind]
        return last is not None and all(
            last.details.get(name) == fact.details.get(name) for name in names
        )


def fact_of(message: Message[Any], now: datetime) -> Fact:
    """What is entered of an event: all of it, and what led to it."""
    event = message.event
    details = event.model_dump(mode="json", exclude={"reasons"})
    if isinstance(event, ServiceConfigured):
        details["code_version"] = message.code_version
    else:
        details |= {
            "correlation_id": str(message.correlation_id),
            "causation_id": str(message.causation_id) if message.causation_id else None,
        }
    subject = event.key
    if isinstance(event, RetrainingDecided):
        subject += f" {event.trigger}"  # each is answered for itself
    reason = getattr(event, "reason", None)
    return Fact(
        id=str(message.id),
        kind=event.topic,
        subject=subject,
        at=message.time or now,
        by=message.source or "unknown",
        reasons=tuple(getattr(event, "reasons", (reason,) if reason else ())),
        details=details,
    )


class _Written(BaseModel):
    """What a document must tell: `moved_…` of an alias, `changed_…` of an experiment."""

    model_config = ConfigDict(extra="allow")

    at: AwareDatetime = Field(validation_alias=AliasChoices("moved_at", "changed_at"))
    by: str = Field(validation_alias=AliasChoices("moved_by", "changed_by"))
    reasons: tuple[str, ...] = ()


def _read(store: ObjectStore, key: str, now: datetime) -> Fact:
    """What is entered of a document; also of one that can't be read, which nobody should write."""
    content = store.get(key)
    digest = hashlib.sha256(content).hexdigest()
    subject = key.rpartition("/")[0]
    try:
        written = _Written.model_validate_json(content)
    except ValidationError:
        written = _Written(moved_at=now, moved_by="unknown", unreadable=True)
    return Fact(
        id=key,
        kind=DOCUMENTS,
        subject=subject,
        at=written.at,
        by=written.by,
        reasons=written.reasons,
        details=written.model_extra or {},
        document=key,
        document_sha256=digest,
    )
