"""The prompts in service: the one that the registry's alias points at, else the built-in one."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from trending_inference.insights.drafting import SCHEMA
from trending_inference.metrics import InferenceMetrics
from trending_inference.serving import InService, Serving
from trending_shared.clock import Clock
from trending_shared.errors import PromptNotFound, StoreUnavailable
from trending_shared.experiments import Experiments, Subject
from trending_shared.prompts import Prompt, PromptRegistry, read_prompt
from trending_shared.registry import CHAMPION, Pointer

NAME = "insights"
_FILE = Path(__file__).parent / "prompt.yaml"


def built_in() -> Prompt:
    """The prompt that comes with this code."""
    return read_prompt(_FILE.read_text(encoding="utf-8"))


class ServingPrompt(Serving[Prompt]):
    """The prompts of insights; without an alias the built-in one is the champion."""

    subject: Subject = "prompts"

    def __init__(
        self,
        registry: PromptRegistry,
        *,
        experiments: Experiments,
        ttl: timedelta,
        metrics: InferenceMetrics,
        clock: Clock,
        alias: str = CHAMPION,
    ) -> None:
        super().__init__(
            NAME, alias=alias, experiments=experiments, ttl=ttl, metrics=metrics, clock=clock
        )
        self._registry = registry
        self._default = built_in()
        self._now = InService(self._default, {self._default.version: self._default})
        self._registered = False  # or that was tried, at least: it takes leave to write

    def _point(self) -> Pointer | None:
        if not self._registered:  # so that its version is found
            self._registered = True
            with suppress(StoreUnavailable):
                self._registry.register(self._default)
        return self._registry.aliases.pointer(NAME, self.alias)

    def _version(self, pointer: Pointer | None) -> str:
        return pointer.version if pointer else self._default.version

    def _load(self, version: str) -> Prompt:
        if version == self._default.version:
            return self._default
        found = self._registry.get(NAME, version)
        if found.answers != SCHEMA:
            raise PromptNotFound(f"{version} asks for {found.answers}, not for {SCHEMA}")
        return found
