"""What is looked for in whatever bytes there are: ids, addresses, and words in a row. No I/O.

Everything looked for is a row of words. So it doesn't matter whether it stands in JSON, HTML, a
column or a log, in which case and with which spaces, nor whether accents were taken away. Of a
longer text each eight words in a row hold one of its needles.
"""

import gzip
import html
import io
import json
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from trending_shared.catalog import fold

Kind = Literal["author", "id", "page", "address", "text"]

PHRASE, STEP = 6, 3  # words of a needle, and from one to the next: eight in a row hold one
FEWEST = 4  # words that a text must have; fewer are anybody's
_DEEPEST = 4  # archives within archives
_LARGEST = 512 * 1024 * 1024  # bytes that an archive may unpack to
_WORD = re.compile(r"\w+")
_AFTER_ADDRESS = r"(?![\w/?&=#%~+-]|\.\w)"
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPED = re.compile(r'\\[nrtbf"]')


@dataclass(frozen=True, slots=True)
class Needle:
    """A row of words, and for an address the address."""

    kind: Kind
    words: tuple[str, ...]
    address: str | None = None

    @property
    def name(self) -> str:
        """By which a report tells which one was found: not what it is."""
        return sha256("\x1f".join((self.kind, *self.words)).encode()).hexdigest()[:12]


def needles_of(kind: Kind, values: Iterable[str | None]) -> Iterator[Needle]:
    """What to look for to find any of these; of texts that say too little nothing."""
    for value in values:
        words = _words(value or "")
        if kind != "text":
            if words:
                yield Needle(kind, tuple(words), value if kind == "address" else None)
        elif len(words) >= FEWEST:
            starts = {*range(0, max(1, len(words) - PHRASE + 1), STEP), max(0, len(words) - PHRASE)}
            for start in sorted(starts):
                yield Needle(kind, tuple(words[start : start + PHRASE]))


class Matcher:
    """Finds any of many needles in one go: a text without their longest words is done with."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self.needles = frozenset(needles)
        self._by_anchor: defaultdict[str, list[tuple[int, Needle]]] = defaultdict(list)
        for needle in self.needles:
            anchor = max(needle.words, key=len)
            self._by_anchor[anchor].append((needle.words.index(anchor), needle))
        self._anchors = frozenset(self._by_anchor)

    def without(self, texts: Iterable[str]) -> "Matcher":
        """One that doesn't look for what these texts say: they stay."""
        said = {needle for text in texts for needle in self.find(text) if needle.kind == "text"}
        return Matcher(self.needles - said)

    def find(self, text: str) -> set[Needle]:
        """The needles in a text."""
        words = _words(text)
        anchors = self._anchors & set(words)
        if not anchors:
            return set()
        found = set()
        for at, word in enumerate(words):
            if word not in anchors:
                continue
            for offset, needle in self._by_anchor[word]:
                start = at - offset
                if needle in found or start < 0:
                    continue
                if tuple(words[start : start + len(needle.words)]) == needle.words and (
                    needle.address is None
                    or re.search(re.escape(needle.address) + _AFTER_ADDRESS, text)
                ):
                    found.add(needle)
        return found

    def find_in(self, data: bytes) -> set[Needle]:
        """The needles in bytes of any form that we know."""
        return {needle for text in texts_of(data) for needle in self.find(text)}


def texts_of(data: bytes, *, depth: int = 0) -> Iterator[str]:
    """The texts in bytes: packed or not, in tables or arrays, escaped or not, and as they stand."""
    if data[:2] == b"\x1f\x8b" and depth < _DEEPEST:
        try:
            with gzip.open(io.BytesIO(data)) as packed:
                yield from texts_of(packed.read(_LARGEST), depth=depth + 1)
        except (OSError, EOFError, zlib.error):
            yield _text(data)
        return
    if data[:4] == b"PK\x03\x04" and depth < _DEEPEST:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for member in archive.infolist():
                    with archive.open(member) as packed:
                        yield from texts_of(packed.read(_LARGEST), depth=depth + 1)
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error):
            pass
    elif data[:4] == b"PAR1":
        yield from _texts_of_parquet(data)
    elif data[:6] == b"\x93NUMPY":
        yield from _texts_of_array(data)
    text = _text(data)
    yield text
    if "\\" in text:
        plain = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text.replace("\\/", "/"))
        yield _ESCAPED.sub(" ", plain)
    if "&" in text:
        yield html.unescape(text)


def _texts_of_parquet(data: bytes) -> Iterator[str]:
    """Every column that holds texts; a footer's statistics are in the bytes as they stand."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = [
            field.name
            for field in file.schema_arrow
            if re.search("string|binary|utf8", str(field.type))
        ]
        for batch in file.iter_batches(columns=columns) if columns else ():
            for column in batch.columns:
                values = column.to_pylist()
                if pa.types.is_nested(column.type):
                    values = [json.dumps(one, default=str, ensure_ascii=False) for one in values]
                yield "\n".join(map(str, values))
    except pa.ArrowException:
        return


def _texts_of_array(data: bytes) -> Iterator[str]:
    import numpy as np

    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return
    if array.dtype.kind in "US":
        yield "\n".join(array.astype(str).ravel().tolist())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower() if text.isascii() else fold(text))
