"""Asking a language model: one question, one answer of the right form, or a named failure.

The SDK takes a second of processor time to import, so it is imported when the client is opened,
which happens at the start of a gateway that has a model to ask, and never in others.
"""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from trending_inference.insights.drafting import Draft
from trending_shared.errors import Unavailable

# The SDK takes whatever has status 200 for a completion, and fails on its insides.
_BROKEN = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered; `usage` is none if the server doesn't tell."""

    draft: Draft
    usage: Usage | None


class LlmFailed(Unavailable):
    """The model gave no answer that could be used; nothing it said is in the message."""

    kind: ClassVar[str]
    again: ClassVar[bool]
    """Whether asking once more at once may help."""

    def __init__(self, usage: Usage | None) -> None:
        """`usage` is none if it isn't known whether and how much this costs."""
        super().__init__(self.kind)
        self.usage = usage


class LlmTimedOut(LlmFailed):
    """It took too long; it may be billed all the same."""

    kind, again = "llm-timed-out", True


class LlmUnavailable(LlmFailed):
    """It can't be reached, or answered with an error of its own (5xx)."""

    kind, again = "llm-unavailable", True


class LlmInvalid(LlmFailed):
    """The answer isn't of the form that was asked for, or is cut off."""

    kind, again = "llm-invalid", True


class LlmRefused(LlmFailed):
    """The model, or a filter before it, doesn't want to answer."""

    kind, again = "llm-refused", False


class LlmDenied(LlmFailed):
    """The server doesn't take the request (4xx): key, model or rate; see the log."""

    kind, again = "llm-denied", False

    def __init__(self, usage: Usage | None, status: int | None = None) -> None:
        super().__init__(usage)
        self.status = status


class Llm(Protocol):
    """Whoever can be asked."""

    @property
    def model(self) -> str: ...

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        parameters: Mapping[str, Any],
        *,
        within: timedelta,
    ) -> Reply:
        """Ask once. Raises `LlmFailed`."""


class OpenAiLlm:
    """Any server of OpenAI's chat completions, through its SDK."""

    def __init__(self, *, model: str, key: str, base_url: str | None) -> None:
        self._model = model
        self._key = key
        self._base_url = base_url
        self._sdk: Any = None
        self._client: Any = None

    @property
    def model(self) -> str:
        return self._model

    async def open(self) -> None:
        """Import the SDK and make its client; nothing is connected yet."""
        self._sdk, self._client = await asyncio.to_thread(self._create)

    def _create(self) -> tuple[Any, Any]:
        sdk = importlib.import_module("openai")
        # We retry ourselves: the SDK doesn't know our deadline, budget or schema.
        client = sdk.AsyncOpenAI(api_key=self._key, base_url=self._base_url, max_retries=0)
        return sdk, client

    async def close(self) -> None:
        await self._client.close()

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        parameters: Mapping[str, Any],
        *,
        within: timedelta,
    ) -> Reply:
        """Ask once.

        Args:
            within: for the whole answer; the SDK's own timeout starts anew with each byte.

        Raises:
            LlmFailed: see its kinds.
        """
        sdk, seconds = self._sdk, within.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                completion = await self._client.chat.completions.parse(
                    model=self._model,
                    messages=list(messages),
                    response_format=Draft,
                    timeout=seconds,
                    **parameters,
                )
                message, usage = completion.choices[0].message, _usage(completion)
                refusal, draft = message.refusal, message.parsed
        except (TimeoutError, sdk.APITimeoutError) as error:
            raise LlmTimedOut(None) from error
        except sdk.LengthFinishReasonError as error:
            raise LlmInvalid(_usage(error.completion)) from error
        except sdk.ContentFilterFinishReasonError as error:
            raise LlmRefused(None) from error
        except (sdk.APIConnectionError, sdk.InternalServerError) as error:
            raise LlmUnavailable(Usage()) from error
        except sdk.APIStatusError as error:
            raise LlmDenied(Usage(), error.status_code) from error
        except (sdk.APIError, *_BROKEN) as error:
            raise LlmInvalid(None) from error
        if refusal:
            raise LlmRefused(usage)
        if not isinstance(draft, Draft):
            raise LlmInvalid(usage)
        return Reply(draft, usage)


def _usage(completion: Any) -> Usage | None:
    """What the server says, if it can be so."""
    counts = [
        getattr(completion.usage, name, None) for name in ("prompt_tokens", "completion_tokens")
    ]
    known = [count for count in counts if isinstance(count, int) and count >= 0]
    return Usage(*known) if len(known) == len(counts) else None
