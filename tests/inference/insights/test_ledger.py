"""What is remembered and what may be spent, by day and caller."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from trending_inference.insights.drafting import Draft
from trending_inference.insights.flights import Flights
from trending_inference.insights.ledger import KEPT, Budget, Ledger, Prices
from trending_inference.insights.llm import Usage
from trending_shared.catalog import Catalog, drafts, spending


def a_ledger(world: Any, *, day: int = 100, caller: int = 60) -> Ledger:
    return Ledger(world.catalog, Budget(day=day, caller=caller), world.clock)


async def spent(catalog: Catalog) -> dict[str, int]:
    async with catalog.reading() as connection:
        rows = await connection.execute(sa.select(spending))
        return {row.caller: row.micro_usd for row in rows}


def test_a_cost_is_in_millionths_of_a_dollar_rounded_up() -> None:
    prices = Prices(prompt=0.15, completion=0.6)
    assert prices.cost(Usage(1000, 200)) == 270
    assert prices.cost(Usage(1, 0)) == 1
    assert prices.cost(Usage()) == 0


async def test_a_caller_and_all_callers_have_a_budget_a_day(world: Any) -> None:
    ledger = a_ledger(world)
    assert await ledger.reserve("ann", 50)
    assert await ledger.reserve("ann", 50) is None, "beyond the caller's"
    assert await ledger.reserve("bob", 50)
    assert await ledger.reserve("eve", 1) is None, "beyond the day's"
    assert await spent(world.catalog) == {"": 100, "ann": 50, "bob": 50}
    world.clock.advance(timedelta(hours=6))  # it is midnight in UTC
    assert await ledger.reserve("ann", 50)


async def test_what_was_not_used_is_given_back_on_the_day_it_was_set_aside(world: Any) -> None:
    ledger = a_ledger(world)
    day = await ledger.reserve("ann", 60)
    assert day
    world.clock.advance(timedelta(hours=6))
    await ledger.settle(day, "ann", reserved=60, cost=10)
    assert await spent(world.catalog) == {"": 10, "ann": 10}


async def test_many_questions_at_once_do_not_overdraw_a_budget(world: Any) -> None:
    ledger = a_ledger(world, day=1000)
    days = await asyncio.gather(*(ledger.reserve("ann", 20) for _ in range(8)))
    assert sum(day is not None for day in days) == 3


async def test_spending_is_there_after_a_restart(world: Any) -> None:
    assert await a_ledger(world).reserve("ann", 60)
    assert await a_ledger(world).reserve("ann", 60) is None


async def test_a_draft_is_remembered_for_as_long_as_events_are(
    world: Any, a_draft: Callable[..., Draft]
) -> None:
    ledger, draft = a_ledger(world), a_draft()
    assert await ledger.known("one") is None
    await ledger.keep("one", draft)
    assert await a_ledger(world).known("one") == draft
    world.clock.advance(KEPT + timedelta(seconds=1))
    await ledger.keep("two", draft)
    assert (await ledger.known("one"), await ledger.known("two")) == (None, draft)


async def test_a_draft_of_an_older_form_is_asked_for_again(world: Any) -> None:
    row = {"insight_key": "one", "draft": {"words": []}, "asked_at": world.clock.now()}
    async with world.catalog.transaction() as connection:
        await world.catalog.upsert(connection, drafts, [row])
    assert await a_ledger(world).known("one") is None


# ---------------------------------------------------------------- the same question at once


async def test_the_same_work_is_done_once_and_its_first_caller_is_told_so() -> None:
    flights: Flights[int] = Flights()
    gate, begun = asyncio.Event(), 0

    async def work() -> int:
        nonlocal begun
        begun += 1
        await gate.wait()
        return begun

    async def open_gate() -> None:
        assert (len(flights), "key" in flights) == (1, True)
        gate.set()

    first, second, _ = await asyncio.gather(
        flights.join("key", work), flights.join("key", work), open_gate()
    )
    assert (first, second) == ((1, True), (1, False))
    assert len(flights) == 0
    assert await flights.join("key", work) == (2, True)


async def test_work_goes_on_when_the_one_who_asked_for_it_leaves() -> None:
    flights: Flights[str] = Flights()
    begun, gate, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        await gate.wait()
        done.set()
        return "done"

    asking = asyncio.create_task(flights.join("key", work))
    await begun.wait()
    asking.cancel()
    gate.set()
    await flights.land()
    assert done.is_set()
