"""What is passed from hand to hand in a replay: the CLI gives pages to today's scraper, the scraper
tells records to today's cleaner, all as lines of JSON through pipes.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from trending_shared.events import Event, Page
from trending_shared.messages import BY_TYPE, Message


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class KeptPage(_Part):
    """A page that was fetched and kept: a row of the cleaner's table `pages`."""

    event_id: UUID
    causation_id: UUID
    """The job for which it was fetched; ids of what it says follow from this one."""
    correlation_id: UUID
    source: str
    url: str
    kind: Literal["list", "detail"]
    page_url: str
    page_hash: str
    page_key: str
    fetched_at: datetime
    charset: str | None = None

    @property
    def page(self) -> Page:
        return Page(
            url=self.page_url, hash=self.page_hash, key=self.page_key, fetched_at=self.fetched_at
        )


class Told(_Part):
    """A message that is told once more."""

    type: str
    id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    event: dict[str, Any]

    @classmethod
    def of(cls, message: Message[Any]) -> "Told":
        return cls(
            type=message.event.type_name(),
            id=message.id,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            event=message.event.model_dump(mode="json"),
        )

    @property
    def message(self) -> Message[Event]:
        return Message(
            event=BY_TYPE[self.type].model_validate(self.event),
            id=self.id,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
        )


class Problem(_Part):
    """Why a page can't be read any more."""

    page: KeptPage
    reason: str
    detail: str


class Line(_Part):
    """What one hand gives the next: something that is told, or that a page is done or can't be."""

    told: Told | None = None
    done: KeptPage | None = None
    problem: Problem | None = None


def read_lines(texts: Iterable[str]) -> Iterator[Line]:
    return (Line.model_validate_json(text) for text in texts)


def write_line(line: Line) -> str:
    return f"{line.model_dump_json(exclude_none=True)}\n"
