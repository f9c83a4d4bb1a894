"""What was asked and what it cost, in the catalog: shared by instances, and there after a restart.

Costs are whole millionths of a dollar. The most that a question may cost is set aside before it is
asked, and what is left is given back afterwards: many questions at once don't overdraw a budget,
and a killed process has spent too much rather than too little.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from trending_inference.insights.drafting import Draft
from trending_inference.insights.llm import Usage
from trending_shared.catalog import Catalog, drafts, spending
from trending_shared.clock import Clock

ALL = ""
"""The caller whose row is the sum of all callers."""
KEPT = timedelta(days=90)  # as long as events


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per million tokens, which is millionths of a dollar a token."""

    prompt: float
    completion: float

    def cost(self, usage: Usage) -> int:
        """In millionths of a dollar, rounded up."""
        dollars = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return ceil(round(dollars, 6))


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a day (UTC), in millionths of a dollar."""

    day: int
    caller: int


class _Overdrawn(Exception):
    """Takes a transaction back."""


class Ledger:
    """Drafts by question, and spending by day and caller; each call raises `StoreUnavailable`."""

    def __init__(self, catalog: Catalog, budget: Budget, clock: Clock) -> None:
        self._catalog = catalog
        self._budget = budget
        self._clock = clock

    async def known(self, key: str) -> Draft | None:
        """What was answered to a question before; none if it wasn't asked, or in another form."""
        async with self._catalog.reading() as connection:
            found = await connection.scalar(
                sa.select(drafts.c.draft).where(drafts.c.insight_key == key)
            )
        try:
            return Draft.model_validate(found) if found else None
        except ValidationError:
            return None

    async def keep(self, key: str, draft: Draft) -> None:
        """Remember an answer, and forget those that are too old."""
        now = self._clock.now()
        row = {"insight_key": key, "draft": draft.model_dump(), "asked_at": now}
        async with self._catalog.transaction() as connection:
            await self._catalog.upsert(connection, drafts, [row])
            await connection.execute(sa.delete(drafts).where(drafts.c.asked_at < now - KEPT))

    async def reserve(self, caller: str, cost: int) -> date | None:
        """Set a cost aside; returns the day it is booked on, or none if the budget is used up."""
        day = self._clock.now().date()
        limits = {ALL: self._budget.day, caller: self._budget.caller}
        try:
            async with self._catalog.transaction() as connection:
                for who, limit in limits.items():  # the sum first: all callers wait in one order
                    if await self._add(connection, day, who, cost, calls=1) > limit:
                        raise _Overdrawn
        except _Overdrawn:
            return None
        return day

    async def settle(self, day: date, caller: str, *, reserved: int, cost: int) -> None:
        """Book what a question did cost instead of what was set aside."""
        if reserved != cost:
            async with self._catalog.transaction() as connection:
                for who in (ALL, caller):
                    await self._add(connection, day, who, cost - reserved)

    async def _add(
        self, connection: AsyncConnection, day: date, caller: str, cost: int, *, calls: int = 0
    ) -> int:
        """Add to a row, which locks it until the end of the transaction; returns the new sum."""
        row: dict[str, Any] = {"day": day, "caller": caller, "micro_usd": 0, "calls": 0}
        await self._catalog.insert_new(connection, spending, [row])
        its = (spending.c.day == day) & (spending.c.caller == caller)
        changed = await connection.execute(
            sa.update(spending)
            .where(its)
            .values(micro_usd=spending.c.micro_usd + cost, calls=spending.c.calls + calls)
            .returning(spending.c.micro_usd)
        )
        return int(changed.scalar_one())
