"""A film with a plot and four reviews, and a draft that all of them support."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from trending_inference.insights.drafting import Draft
from trending_inference.insights.evidence import Evidence, Review, gather
from trending_shared.testing.llm import FakeLlm, completes
from trending_shared.testing.models import a_graph, promote

PLOT = (
    "The crew of a freighter answers a call from a silent moon. "
    "A ghost of a signal leads 7 of them into a dead ship. "
    "Ripley must bring the survivors home."
)
REVIEWS = (
    Review("Slow, silent and terrifying. The ship is the best actor in it.", 0.9),
    Review("The middle drags and the dialogue is wooden.", 0.4),
    Review("Sigourney Weaver carries every scene."),
    Review("Tense from the first minute, and the monster looks splendid."),
)


def cites(*cited: str) -> list[dict[str, str]]:
    """Citations, each as `s1: a quote`."""
    return [dict(zip(("id", "quote"), each.split(": ", 1), strict=True)) for each in cited]


def a_claim(text: str, *cited: str, kind: str = "story") -> dict[str, Any]:
    return {"kind": kind, "text": text, "evidence": cites(*cited)}


GOOD: Mapping[str, Any] = {
    "genres": [{"genre": "Horror", "evidence": cites("s2: A ghost of a signal")}],
    "claims": [
        a_claim("A freighter's crew answers a call from a silent moon.", "s1: answers a call"),
        a_claim("A signal leads seven of them into a dead ship.", "s2: into a dead ship"),
        a_claim("The ship is the best actor.", "s5: the best actor in it", kind="praise"),
        a_claim("The dialogue is wooden.", "s6: the dialogue is wooden", kind="criticism"),
        a_claim("Weaver carries every scene.", "s7: carries every scene", kind="praise"),
    ],
    "vibes": [{"tag": "scary", "evidence": cites("s4: silent and terrifying")}],
}


@pytest.fixture
def evidence() -> Evidence:
    return gather(PLOT, REVIEWS)


@pytest.fixture
def a_draft() -> Callable[..., Draft]:
    """A draft of nothing but what is given."""

    def build(**parts: Any) -> Draft:
        return Draft.model_validate({"genres": [], "claims": [], "vibes": [], **parts})

    return build


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    """A server that gives the good draft, until a test says otherwise."""
    async with FakeLlm(completes(GOOD)) as server:
        yield server


@pytest.fixture
async def film(world: Any) -> Any:
    """The world with a model in service and the film in its catalog; returns the world."""
    promote(world.models, a_graph())
    await world.add_title(plot=PLOT)
    for number, review in enumerate(REVIEWS):
        await world.add_review(f"r_{number}", "t_alien", text=review.text, rating=review.rating)
    return world


@pytest.fixture
def good() -> Mapping[str, Any]:
    return GOOD
