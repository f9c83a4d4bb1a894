"""Who a record is, and what it says: ids that a source's own ids decide, hashes of content."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from trending_shared.events import RawReview
from trending_shared.messages import content_hash

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=date.isoformat)


def title_id(source: str, source_id: str) -> str:
    """The same for all that a source ever tells of one title: `t_` and 16 hex digits."""
    return f"t_{content_hash(source, source_id)}"


def review_id(source: str, source_id: str, review: RawReview, text: str) -> str:
    """The same for all that a source ever tells of one review: `r_` and 16 hex digits.

    Where the source has no id for it, a review is who wrote what about which title.

    Args:
        text: what the review says, cleaned.
    """
    if review.review_source_id:
        return f"r_{content_hash(source, source_id, 'id', review.review_source_id)}"
    return f"r_{content_hash(source, source_id, 'text', review.author_hash or '', text)}"


def subject_id(source: str, source_id: str) -> str:
    """The same for all that a source ever counts of one thing: `s_` and 16 hex digits."""
    return f"s_{content_hash(source, source_id)}"


def hash_content(fields: Mapping[str, Any]) -> str:
    """16 hex digits of the fields that make a record what it is; where it was found isn't one."""
    return content_hash(_CANONICAL.encode(fields))
