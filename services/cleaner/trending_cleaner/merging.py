"""One title of what several sources tell of it, and for each field who told it. Pure.

The description that was first fetched leads, then further descriptions in the order of their first
fetching, then facts; a field is that of the first that has it, so a title doesn't flicker between
sources. Genres are united. The rating is that of the most voters, since a mean over sources would
count people twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trending_cleaner.identity import hash_content
from trending_cleaner.resolving import Identity
from trending_shared.events import TitleMerged

Row = Mapping[str, Any]

_FIRST = ("name", "kind", "year", "plot", "countries", "language", "runtime_minutes")


def merge(identity: Identity, tellings: Sequence[Row], *, resolution: int) -> TitleMerged:
    """What the members of an identity tell together.

    Args:
        tellings: the newest row of each member in `titles` and `facts`, with `described` and
            `first_at`; any order.
        resolution: how much was known, see `TitleMerged`.
    """
    ordered = sorted(
        tellings, key=lambda row: (not row["described"], row["first_at"], row["title_id"])
    )
    content: dict[str, Any] = {}
    provenance: dict[str, str] = {}
    for field in _FIRST:
        for row in ordered:
            if row.get(field):
                content[field], provenance[field] = row[field], row["title_id"]
                break
    for row in ordered:
        for genre in row["genres"]:
            provenance.setdefault(f"genres.{genre}", row["title_id"])
        for id in row["external_ids"]:
            provenance.setdefault(f"external_ids.{id.split(':', 1)[0]}", row["title_id"])
    content["genres"] = sorted({genre for row in ordered for genre in row["genres"]})
    content["external_ids"] = sorted({id for row in ordered for id in row["external_ids"]})
    if rated := [row for row in ordered if row["rating"] is not None]:
        best = max(rated, key=lambda row: row["rating_count"] or 0)  # the first of equals
        content["rating"], content["rating_count"] = best["rating"], best["rating_count"]
        provenance["rating"] = best["title_id"]
    content["licenses"] = sorted({row["license"] for row in ordered})
    content["provenance"] = dict(sorted(provenance.items()))
    named = {row["title_id"]: row for row in ordered}
    described = {row["title_id"] for row in ordered if row["described"]}
    content["members"] = [
        {
            "title_id": title_id,
            "source": named[title_id]["source"],
            "source_id": named[title_id]["source_id"],
            "described": title_id in described,
            "reason": identity.reasons[title_id],
        }
        for title_id in sorted(named)
    ]
    return TitleMerged(
        title_id=identity.title_id,
        resolution=resolution,
        absorbed_ids=tuple(sorted(described - {identity.title_id})),
        content_hash=hash_content(content),
        **content,
    )
