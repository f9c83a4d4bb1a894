"""Stand-ins that keep the contract of what they stand for."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from trending_shared.errors import BrokerUnavailable
from trending_shared.events import Event
from trending_shared.messages import Message, Position, first_message

E = TypeVar("E", bound=Event)


class CollectingPublisher:
    """Keeps what is published; `down` makes it fail as an unreachable broker does."""

    def __init__(self) -> None:
        self.messages: list[Message[Any]] = []
        self.raw: list[tuple[str, bytes | None, bytes | None, dict[str, bytes]]] = []
        self.down = False

    async def publish(self, messages: Iterable[Message[Any]]) -> None:
        listed = list(messages)
        if self.down and listed:
            raise BrokerUnavailable("the broker is down")
        self.messages += listed

    async def publish_raw(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        if self.down:
            raise BrokerUnavailable("the broker is down")
        self.raw.append((topic, key, value, dict(headers)))

    async def ping(self) -> bool:
        return not self.down

    def events(self, kind: type[E]) -> list[E]:
        """The published events of a class, in order."""
        return [message.event for message in self.messages if isinstance(message.event, kind)]


def delivered(event: E, *, offset: int = 0, partition: int = 0) -> Message[E]:
    """A message as a handler receives it."""
    return replace(
        first_message(event),
        time=datetime(2026, 11, 1, tzinfo=UTC),
        source="trending/test",
        position=Position(event.topic, partition, offset),
    )
