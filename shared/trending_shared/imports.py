"""Files that somebody imports: cut into parts, each kept as an object, each a scrape job.

    imports/<first two digits>/<sha256>.csv.gz      a header and some hundred rows

The command line cuts and keeps them. The scraper reads them under addresses such as
`store:imports/…`, which lead into the store and into no network, and to nothing else in the store.
A part is named by its rows, and its job by the part, so importing a file again changes nothing.
"""

import gzip
import hashlib
import re
import zlib
from uuid import UUID, uuid5

from trending_shared.errors import Rejected
from trending_shared.events import ScrapeJob
from trending_shared.messages import NAMESPACE
from trending_shared.storage import ObjectStore

HOST = "store:imports"  # stands among the hosts of a source whose files may be imported
MAX_PART = 2 * 1024 * 1024  # bytes, unpacked; the command line makes none of half that size

_ADDRESS = re.compile(r"store:(imports/([0-9a-f]{2})/(\2[0-9a-f]{62})\.csv\.gz)")


class PartDamaged(Rejected):
    """A part of an imported file isn't what its name says."""


def is_part(url: str) -> bool:
    """Whether an address is that of a part."""
    return _ADDRESS.fullmatch(url) is not None


def keep_part(store: ObjectStore, rows: bytes) -> str:
    """Store a part and return its address; blocks.

    Raises:
        StoreUnavailable: the store didn't answer.
    """
    digest = hashlib.sha256(rows).hexdigest()
    key = f"imports/{digest[:2]}/{digest}.csv.gz"
    store.put_new(key, gzip.compress(rows, compresslevel=6, mtime=0))
    return f"store:{key}"


def read_part(store: ObjectStore, url: str) -> bytes:
    """The rows of a part; blocks.

    Raises:
        PartDamaged: the address is none of a part, or its bytes aren't those that it names.
        ObjectMissing: there is no such part.
        StoreUnavailable: the store didn't answer.
    """
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise PartDamaged(f"{url!r} is no address of a part")
    try:
        rows = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(
            store.get(match[1]), MAX_PART + 1
        )
    except zlib.error as error:
        raise PartDamaged(f"{url} is broken gzip: {error}") from error
    if len(rows) > MAX_PART or hashlib.sha256(rows).hexdigest() != match[3]:
        raise PartDamaged(f"{url} doesn't hold what its name says")
    return rows


def part_job(source: str, url: str) -> tuple[UUID, ScrapeJob]:
    """The job that reads a part, and its id, which is the same every time."""
    return uuid5(NAMESPACE, f"import:{source}:{url}"), ScrapeJob(source=source, url=url)
