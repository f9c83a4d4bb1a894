"""The prompt in service: the one that the registry's alias points at, else the built-in one."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from pydantic import ValidationError

from trending_inference.insights.drafting import SCHEMA
from trending_shared.clock import Clock
from trending_shared.errors import PromptNotFound, StoreUnavailable, TrendingError
from trending_shared.prompts import Prompt, PromptRegistry, read_prompt
from trending_shared.registry import CHAMPION

log = structlog.get_logger()

NAME = "insights"
_FILE = Path(__file__).parent / "prompt.yaml"


def built_in() -> Prompt:
    """The prompt that comes with this code."""
    return read_prompt(_FILE.read_text(encoding="utf-8"))


class ServingPrompt:
    """Looks the alias up when it is asked and the last look is old.

    What can't be used or found leaves the prompt in service as it is.
    """

    def __init__(
        self, registry: PromptRegistry, *, ttl: timedelta, clock: Clock, alias: str = CHAMPION
    ) -> None:
        self._registry = registry
        self._ttl = ttl
        self._clock = clock
        self._alias = alias
        self._current = self._default = built_in()
        self._looked_at: datetime | None = None
        self._registered = False  # or that was tried, at least: it takes leave to write

    async def current(self) -> Prompt:
        """The prompt to ask with; the built-in one is registered, so that its version is found."""
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= self._ttl:
            self._looked_at = now
            try:
                self._current = await asyncio.to_thread(self._look)
            except (TrendingError, ValidationError) as error:
                log.error("prompt_not_loaded", reason=type(error).__name__)
        return self._current

    def _look(self) -> Prompt:
        if not self._registered:
            self._registered = True
            with suppress(StoreUnavailable):
                self._registry.register(self._default)
        pointer = self._registry.aliases.pointer(NAME, self._alias)
        version = pointer.version if pointer else self._default.version
        if version == self._current.version:
            return self._current
        found = self._default if not pointer else self._registry.get(NAME, version)
        if found.answers != SCHEMA:
            raise PromptNotFound(f"{version} asks for {found.answers}, not for {SCHEMA}")
        log.info("prompt_in_service", prompt=NAME, version=version)
        return found
