"""Says of each title that something was told of which records are it, and what they tell together.

What was said last lies in the table `merged`. It is said again when it has changed, or when the
event from which it followed comes again. Whoever appends to `titles` or `facts` reads both
afterwards, so of two cleaners that take records of one title at once the later one sees both; and
what was said knowing more holds over what was said knowing less.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from trending_cleaner.known_titles import KnownTitles
from trending_cleaner.merging import merge
from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.resolving import resolve
from trending_cleaner.schemas import Row, merged_row
from trending_shared.events import TitleMerged
from trending_shared.messages import Message
from trending_shared.tables import OffsetTable

log = structlog.get_logger()


class Identities:
    """Follows titles and facts, and keeps the table `merged`; blocking, for a thread."""

    def __init__(
        self,
        *,
        titles: OffsetTable,
        facts: OffsetTable,
        merged: OffsetTable,
        metrics: CleanerMetrics,
        code_version: str,
    ) -> None:
        self._known = KnownTitles(titles=titles, facts=facts, merged=merged)
        self._merged = merged
        self._metrics = metrics
        self._code_version = code_version

    def read(self) -> None:
        """Learn what was appended since, by whomever.

        Raises:
            StoreUnavailable: a table's storage didn't answer.
        """
        self._known.read()

    def same_title(self, title_id: str) -> set[str]:
        """The members of the title that this one was last said to be of, it among them."""
        return self._known.same_title(title_id)

    def update(self, told: Sequence[tuple[Message[Any], str]]) -> list[Message[TitleMerged]]:
        """What has to be said after a batch whose rows are in the tables.

        Args:
            told: each message that led to a row, now or before, and the title it tells of.

        Raises:
            StoreUnavailable: a table's storage didn't answer.
        """
        if not told:
            return []
        known = self._known
        known.read()
        causes = {str(message.id): message for message, _ in told}
        asked = {title_id for _, title_id in told}
        asked.update(id for cause in causes for id in known.said_because_of(cause))
        by_title = {title_id: message for message, title_id in reversed(told)}
        answers: list[Message[TitleMerged]] = []
        rows: list[Row] = []
        for identity in resolve(known.told(known.neighbours(asked))):
            tellings = known.tellings(identity.reasons)
            merged = merge(identity, tellings, resolution=known.resolution)
            said = known.said(identity.title_id)
            if said and said.content_hash == merged.content_hash:
                if cause := causes.get(said.cause):
                    again = merged.model_copy(update={"resolution": said.resolution})
                    answers.append(cause.leads_to(again))
                continue
            mine = (by_title[one] for one in sorted(identity.reasons) if one in by_title)
            message = next(mine, told[0][0])  # a title may have lost what another one has now
            answers.append(message.leads_to(merged))
            rows.append(merged_row(message, merged, code_version=self._code_version))
        self._append(rows)
        self._metrics.merged.inc(len(answers))
        return answers

    def _append(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._metrics.append_seconds.labels("merged").time():
            # Without positions: a record that comes again may lead to something else by now.
            self._merged.append((None, row) for row in rows)
        self._metrics.rows.labels("merged").inc(len(rows))
        united = sum(len(row["members"]) > 1 for row in rows)
        log.info("titles_merged", titles=len(rows), united=united)
