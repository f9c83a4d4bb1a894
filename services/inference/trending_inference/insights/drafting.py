"""What the language model is asked for, and the question as it is put.

The answer's bounds are checked here and don't travel in its JSON schema: some servers refuse
schemas with `maxLength`, others ignore it. Nothing of a draft is shown before it is checked.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from trending_inference.insights.evidence import Evidence, see
from trending_inference.insights.vibes import VIBES
from trending_shared.genres import GENRES

SCHEMA = "insight-1"
"""The form of a draft; a prompt says which form it asks for."""
MAX_CLAIM = 300  # characters; two lines on a page
MAX_QUOTE = 400  # a whole sentence

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = str.maketrans({bracket: f"\\u{ord(bracket):04x}" for bracket in "<>[]"})
ClaimKind = Literal["story", "praise", "criticism"]


def _bounded(limit: int) -> AfterValidator:
    def check(value: Any) -> Any:
        if len(value) > limit:
            raise ValueError(f"longer than {limit}")
        return value

    return AfterValidator(check)


def _one_of(known: Sequence[str]) -> tuple[AfterValidator, Any]:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError("none of those allowed")
        return value

    return AfterValidator(check), Field(json_schema_extra={"enum": list(known)})


class Part(BaseModel):
    """A part of a draft."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Citation(Part):
    """A sentence of the evidence, and the words of it that count."""

    id: Annotated[str, _bounded(16)] = Field(description="of a sentence: s1")
    quote: Annotated[str, _bounded(MAX_QUOTE)] = Field(
        description="two words in a row or more, copied from that sentence"
    )


Citations = Annotated[list[Citation], _bounded(6)]


class DraftGenre(Part):
    """A genre, and why."""

    genre: Annotated[str, *_one_of(GENRES)]
    evidence: Citations


class DraftClaim(Part):
    """A sentence about the title, and what it rests on."""

    kind: ClaimKind
    text: Annotated[str, _bounded(MAX_CLAIM)] = Field(
        description=f"one sentence, {MAX_CLAIM} characters at most"
    )
    evidence: Citations


class DraftVibe(Part):
    """A mood, and where it is said."""

    tag: Annotated[str, *_one_of(tuple(VIBES))]
    evidence: Citations


class Draft(Part):
    """An answer as the model gave it: of the right form, and nothing more."""

    genres: Annotated[list[DraftGenre], _bounded(8)] = Field(description="three at most")
    claims: Annotated[list[DraftClaim], _bounded(16)] = Field(description="ten at most")
    vibes: Annotated[list[DraftVibe], _bounded(10)] = Field(description="five at most")


def write_data(name: str, kind: str | None, evidence: Evidence) -> str:
    """The title as JSON, in which no text can end its string or look like markup.

    Brackets are escaped as well: the marks by which servers tell messages apart (`<|im_end|>`,
    `[INST]`) can't be written in it.
    """
    told = {
        "name": see(name),
        "kind": kind or "unknown",
        "sentences": [
            {"id": each.id, "of": each.part, "text": each.text} for each in evidence.sentences
        ],
    }
    written = json.dumps(told, ensure_ascii=False)
    return _STRING.sub(lambda string: string[0].translate(_BRACKETS), written)


def insight_key(*, data: str, prompt_version: str, llm: str) -> str:
    """What makes two questions the same: SHA-256 of data, prompt, language model and form."""
    parts = json.dumps([SCHEMA, prompt_version, llm, data])
    return hashlib.sha256(parts.encode()).hexdigest()
