"""From a title's texts to what is told of it: ask, check, or fall back; always an honest answer."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import perf_counter
from typing import Any, Literal

import structlog
from opentelemetry.trace import SpanKind

from trending_inference.admission import Overloaded
from trending_inference.browsing import Story
from trending_inference.insights.checking import Checked, check
from trending_inference.insights.drafting import Draft, insight_key, write_data
from trending_inference.insights.evidence import Evidence, Review, gather
from trending_inference.insights.extracting import extract
from trending_inference.insights.flights import Flights
from trending_inference.insights.ledger import Ledger, Prices
from trending_inference.insights.llm import Llm, LlmDenied, LlmFailed, Reply, Usage
from trending_inference.insights.scoring import Score, score
from trending_inference.metrics import InferenceMetrics
from trending_inference.predicting import Predictor, Verdict
from trending_inference.serving import Chosen
from trending_inference.serving_model import LoadedModel
from trending_shared.api_keys import ANONYMOUS
from trending_shared.errors import StoreUnavailable
from trending_shared.features import compose_text
from trending_shared.prompts import Prompt
from trending_shared.tracing import Tracing, fail

log = structlog.get_logger()

ATTEMPTS = 2
SHADOW = ":shadow"
"""The caller whose budget pays for shadows; no key can have this name."""
_ASIDE = 2  # questions asked in shadow at once
_TOKENS_OF_SCHEMA = 1500  # what servers add to the messages for the answer's form, generously
_TOKENS_OF_ANSWER = 4000  # if the prompt sets no limit
_BYTES_A_TOKEN = 2  # fewer than in any language that we have seen: a bound, not an estimate

Outcome = Literal["answered", "degraded", "abstained"]


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to read about a title.

    Args:
        story: as the genre model reads it.
        reviews: as evidence; a title's are those of all sources, the newest first.
    """

    story: Story
    reviews: tuple[Review, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the genre model in service says of the same text."""

    chosen: Chosen[LoadedModel]
    text: str
    verdict: Verdict
    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """How asking the language model ended: with a draft, or with the reason why there is none."""

    draft: Draft | None
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    micro_usd: int = 0
    attempts: int = 0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Insight:
    """What is told of a title, on which evidence, and what it cost."""

    outcome: Outcome
    reason: str | None
    evidence: Evidence
    data: str
    """The question's data, whose hash events carry."""
    prompt: Prompt
    llm: str | None
    told: Checked = field(default_factory=Checked)
    score: Score | None = None
    asked: Asked = field(default_factory=lambda: Asked(None))
    prediction: Prediction | None = None


class Insights:
    """Answers, one title at a time; nothing but an unusable genre model makes it raise."""

    def __init__(
        self,
        *,
        llm: Llm | None,
        ledger: Ledger,
        prices: Prices,
        timeout: timedelta,
        deadline: timedelta,
        at_once: int,
        predictor: Predictor,
        metrics: InferenceMetrics,
        tracing: Tracing,
    ) -> None:
        """Connect; nothing is asked yet.

        Args:
            llm: none if nobody named one: answers are extracted then.
            timeout: of one attempt.
            deadline: of both together.
            at_once: questions under way before further ones are answered without the model.
        """
        self._llm = llm
        self._ledger = ledger
        self._prices = prices
        self._timeout = timeout.total_seconds()
        self._deadline = deadline.total_seconds()
        self._at_once = at_once
        self._predictor = predictor
        self._metrics = metrics
        self._tracing = tracing
        for outcome in ("answered", *(failure.kind for failure in LlmFailed.__subclasses__())):
            metrics.llm_calls.labels(outcome)  # from 0, so that the first is a rise
        self._flights: Flights[Asked] = Flights()
        self._aside: Flights[Asked] = Flights()  # of shadows, so that they take nobody's place

    async def tell(
        self,
        told: Told,
        *,
        model: Chosen[LoadedModel] | None,
        prompt: Prompt,
        caller: str = ANONYMOUS,
    ) -> Insight:
        """What can be said of a title.

        Args:
            model: the genre model that answers, if one is in service.
            caller: whose budget a question counts against.

        Raises:
            Overloaded, ModelUnusable: as `Predictor.predict` does.
        """
        evidence = await asyncio.to_thread(gather, told.story.plot, told.reviews)
        self._metrics.insight_texts_withheld.inc(evidence.withheld)
        story = told.story
        data = write_data(story.name, story.kind, evidence)
        insight = Insight(
            outcome="abstained",
            reason="evidence-thin",
            evidence=evidence,
            data=data,
            prompt=prompt,
            llm=self._llm.model if self._llm else None,
        )
        if not evidence.thin:
            prediction = await self._predict(model, story) if model else None
            asked = await self._ask(self._flights, self._at_once, data, prompt, caller)
            insight = conclude(replace(insight, asked=asked, prediction=prediction), story.name)
        self._count(insight)
        return insight

    async def tell_aside(self, insight: Insight, prompt: Prompt, name: str) -> Insight:
        """What would have been told of the same title with another prompt.

        It is paid for out of a budget of its own, as large as a caller's.

        Args:
            insight: what was told, of enough evidence.
            name: the title's.

        Raises:
            Overloaded: enough is asked aside already.
        """
        if len(self._aside) >= _ASIDE:
            raise Overloaded(f"{_ASIDE} questions are asked aside already", retry_after=1)
        asked = await self._ask(self._aside, _ASIDE, insight.data, prompt, SHADOW)
        return conclude(replace(insight, prompt=prompt, asked=asked), name)

    async def close(self) -> None:
        """Wait for questions under way; their answers are kept."""
        await self._flights.land()
        await self._aside.land()

    async def _predict(self, chosen: Chosen[LoadedModel], story: Story) -> Prediction | None:
        model = chosen.served
        text = text_of(story, model.manifest.recipe)
        if not text:
            return None
        answered = await self._predictor.predict(model, [text])
        return Prediction(chosen, text, answered.verdicts[0], answered.seconds)

    # ------------------------------------------------------------ the language model

    async def _ask(
        self, flights: Flights[Asked], at_once: int, data: str, prompt: Prompt, caller: str
    ) -> Asked:
        """A draft from the cache, or else from the model if there is one and it may be asked."""
        llm = self._llm
        if llm is None:
            return Asked(None, "no-llm")
        key = insight_key(data=data, prompt_version=prompt.version, llm=llm.model)
        try:
            if known := await self._ledger.known(key):
                return Asked(known, cached=True)
            if len(flights) >= at_once and key not in flights:
                return Asked(None, "too-many-questions")
            asked, began = await flights.join(
                key, lambda: self._attempt(llm, key, data, prompt, caller)
            )
        except StoreUnavailable:
            return Asked(None, "catalog-unavailable")
        if began:
            return asked
        return replace(asked, usage=Usage(), micro_usd=0, attempts=0, cached=bool(asked.draft))

    async def _attempt(self, llm: Llm, key: str, data: str, prompt: Prompt, caller: str) -> Asked:
        """Ask within budget and deadline, and once more if that may help.

        Raises:
            StoreUnavailable: the budget isn't known, so nothing is spent.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        messages = prompt.messages(data)
        bound = self._prices.cost(_most(messages, prompt.sampling))
        ended = Asked(None, "over-budget")
        for attempt in range(1, ATTEMPTS + 1):
            seconds = min(self._timeout, end - loop.time())
            if seconds <= 0:
                break
            day = await self._ledger.reserve(caller, bound)
            if day is None:
                break
            reply = await self._call(llm, messages, prompt.sampling, seconds)
            failed = reply if isinstance(reply, LlmFailed) else None
            cost = bound if reply.usage is None else self._prices.cost(reply.usage)
            self._metrics.llm_cost.inc(cost / 1_000_000)
            await _if_possible(self._ledger.settle(day, caller, reserved=bound, cost=cost))
            ended = Asked(
                None if isinstance(reply, LlmFailed) else reply.draft,
                failed.kind if failed else None,
                ended.usage + (reply.usage or Usage()),
                ended.micro_usd + cost,
                attempt,
            )
            if ended.draft:
                await _if_possible(self._ledger.keep(key, ended.draft))
            if not failed or not failed.again:
                break
        return ended

    async def _call(
        self,
        llm: Llm,
        messages: Sequence[Mapping[str, str]],
        sampling: Mapping[str, Any],
        seconds: float,
    ) -> Reply | LlmFailed:
        """One call, counted; of a failure nothing but its kind is told."""
        started = perf_counter()
        reply: Reply | LlmFailed
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",  # whose API it is; the server may be anybody's
            "gen_ai.request.model": llm.model,
        }
        with self._tracing.span(f"chat {llm.model}", asked, kind=SpanKind.CLIENT) as span:
            try:
                reply = await llm.ask(messages, sampling, within=timedelta(seconds=seconds))
            except LlmFailed as error:
                reply = error
                fail(span, error.kind)
                status = error.status if isinstance(error, LlmDenied) else None
                log.warning("llm_failed", reason=error.kind, status=status)
            if reply.usage:
                span.set_attribute("gen_ai.usage.input_tokens", reply.usage.prompt_tokens)
                span.set_attribute("gen_ai.usage.output_tokens", reply.usage.completion_tokens)
        outcome = reply.kind if isinstance(reply, LlmFailed) else "answered"
        self._metrics.llm_seconds.observe(perf_counter() - started)
        self._metrics.llm_calls.labels(outcome).inc()
        if reply.usage:
            self._metrics.llm_tokens.labels("prompt").inc(reply.usage.prompt_tokens)
            self._metrics.llm_tokens.labels("completion").inc(reply.usage.completion_tokens)
        return reply

    def _count(self, insight: Insight) -> None:
        known = insight.outcome == "answered" and insight.asked.cached
        outcome = "cached" if known else insight.outcome
        self._metrics.insights.labels(outcome, insight.reason or "").inc()
        for reason, count in insight.told.dropped.items():
            self._metrics.insight_parts_dropped.labels(reason).inc(count)
        log.info(
            "insight_told",
            outcome=outcome,
            reason=insight.reason,
            dropped=sum(insight.told.dropped.values()),
        )


def text_of(story: Story, recipe: str) -> str:
    """What a genre model of this recipe reads of a story; empty if nothing is readable."""
    return compose_text(
        name=story.name,
        plot=story.plot,
        kind=story.kind,
        countries=story.countries,
        reviews=story.reviews,
        recipe=recipe,
    )


def conclude(insight: Insight, name: str) -> Insight:
    """What a draft comes to once it is checked, or else what is extracted.

    A draft stands if something of its story is left.
    """
    verdict = insight.prediction.verdict if insight.prediction else None
    probabilities: Mapping[str, float] = verdict.probabilities if verdict else {}
    evidence, draft = insight.evidence, insight.asked.draft
    dropped: Mapping[str, int] = {}
    if draft:
        checked = check(draft, evidence, name=name, probabilities=probabilities)
        if checked.summary:
            return replace(
                insight,
                outcome="answered",
                reason=None,
                told=checked,
                score=score(evidence, checked.claims),
            )
        dropped = checked.dropped
    genres = verdict.genres if verdict else ()
    extracted = extract(evidence, genres=genres, probabilities=probabilities)
    return replace(
        insight,
        outcome="degraded",
        reason=insight.asked.reason or "nothing-supported",
        told=replace(extracted, dropped=dropped),
        score=score(evidence),
    )


def _most(messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]) -> Usage:
    """The most tokens that a question may take, prompt and answer."""
    size = sum(len(message["content"].encode()) for message in messages)
    limit = parameters.get("max_completion_tokens") or parameters.get("max_tokens")
    return Usage(
        size // _BYTES_A_TOKEN + _TOKENS_OF_SCHEMA,
        limit if isinstance(limit, int) else _TOKENS_OF_ANSWER,
    )


async def _if_possible(work: Awaitable[None]) -> None:
    """Book-keeping after the fact: an answer that was paid for is worth more than its record."""
    try:
        await work
    except StoreUnavailable as error:
        log.warning("insight_not_kept", reason=error.reason)
