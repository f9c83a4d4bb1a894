"""Structured logs.

JSON lines in containers, colours in a terminal; one event a line, data as keys. Control characters
are escaped in both.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from aiokafka.errors import ProducerFenced
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor

from trending_shared.messages import Message

NOISY = (
    *("aiokafka", "faststream", "onnxruntime", "uvicorn.access"),
    # They tell addresses, whole bodies, and the parameters of statements.
    *("aiosqlite", "httpx", "httpcore", "httpx2", "httpcore2", "openai", "urllib3"),
    "opentelemetry",
)
"""Libraries that warn at most."""
_MAX_TEXT = 500  # scraped text may be long and hostile; a log line is neither


def _clip(_: Any, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_TEXT and key != "exception":
            event[key] = f"{value[:_MAX_TEXT]}… ({len(value)} characters)"
    return event


class Repetitions(logging.Filter):
    """Holds back what Kafka's client and the exporter of traces say again and again.

    Without a broker the first complains thirty times a second. A complaint passes when it starts,
    when it comes back after half a minute without it, and every ten minutes while it goes on; one
    with a traceback always does. Without a collector the second complains of each batch of spans,
    which may lie minutes apart: each of its complaints passes every ten minutes at most. Other
    loggers aren't touched.
    """

    def __init__(self, *, quiet: float = 30.0, remind: float = 600.0) -> None:
        super().__init__()
        self._quiet = quiet
        self._remind = remind
        self._said: dict[tuple[int, str], tuple[float, float, float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("opentelemetry"):
            quiet, said = self._remind, str(record.msg)  # else it tells how long it will wait
        elif record.name.startswith("aiokafka") and not record.exc_info:
            quiet, said = self._quiet, record.getMessage()
        else:
            return True
        now, key = record.created, (record.levelno, said)
        going_on = {said: at for said, at in self._said.items() if now - at[1] < at[2]}
        passed, *_ = going_on.get(key, (-self._remind, now, quiet))
        passes = now - passed >= self._remind
        self._said = {**going_on, key: (now if passes else passed, now, quiet)}
        return passes


def is_no_leftover(record: logging.LogRecord) -> bool:
    """Whether asyncio complains of anything but what a fenced producer left behind.

    Whoever was fenced has been told; Kafka's client keeps further copies that nobody can ask for.
    """
    return not (
        record.name == "asyncio" and record.exc_info and record.exc_info[0] is ProducerFenced
    )


def configure_logs(*, service: str, level: str = "INFO", format: str = "auto") -> None:
    """Set up logging for the whole process, once, in `main`.

    Our own lines are written at once: one an event and one a request would cost three times as
    much on the way through the standard library, whose own lines come out alike.
    """
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clip,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(is_no_leftover)
    handler.addFilter(Repetitions())  # on the handler: a logger's own doesn't see its children's
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(service=service)


_notes: ContextVar[dict[str, Any] | None] = ContextVar("notes", default=None)


def note(**facts: Any) -> None:
    """Have the line that is told of the event at hand say more; without one nothing is said."""
    if (notes := _notes.get()) is not None:
        notes.update(facts)


@contextmanager
def noting(notes: dict[str, Any]) -> Iterator[None]:
    """A context in which `note` adds to these."""
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)


def log_context(message: Message[Any]) -> Any:
    """A context in which every log line carries the message's ids."""
    return bound_contextvars(
        correlation_id=str(message.correlation_id),
        trace_id=message.trace_id,
        event_id=str(message.id),
        topic=message.event.topic,
    )
