"""Which titles models are measured on: by a hash of the name, for good and in every dataset."""

import hashlib
import re
import unicodedata

from trending_shared.features import normalise_text

TEST_BELOW = 20
"""Of a hundred buckets; a part of what every score means."""
_ASIDE = re.compile(r"\s*[(\[][^)\]]*[)\]]\s*$")


def split_key(name: str) -> str:
    """A title's name without case, accents, punctuation and a closing remark in brackets.

    `Oh! Baby (Tamil)` is `oh baby`; a name without a Latin letter or digit is only case-folded.
    """
    plain = " ".join(re.findall("[a-z0-9]+", normalise_text(_ASIDE.sub("", name))))
    return plain or unicodedata.normalize("NFKC", name).casefold().strip()


def bucket_of(key: str) -> int:
    """Which of a hundred buckets a title lies in, by the SHA-1 of what names it."""
    return int(hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest(), 16) % 100


def is_test(name: str) -> bool:
    """Whether a title of this name is of the test split that models are promoted by."""
    return bucket_of(split_key(name)) < TEST_BELOW
