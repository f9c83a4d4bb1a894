"""The hashes that an author may have in our data: `python -m trending_scraper.hashing SOURCE`.

The name comes on stdin, a list as JSON goes out: `trending privacy hash` asks, for people come with
names when they want what they wrote erased.
"""

import argparse
import json
import sys

from trending_scraper.app import hash_keys
from trending_scraper.authors import Authors
from trending_scraper.settings import ScraperSettings
from trending_shared.errors import SettingInvalid
from trending_shared.settings import read_settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trending_scraper.hashing")
    parser.add_argument("source", help="where the author wrote; one name may be two persons on two")
    source = parser.parse_args().source
    name = sys.stdin.read().strip()
    if not name:
        sys.stderr.write("error: an author's name is expected on stdin\n")
        return 2
    try:
        authors = Authors(*hash_keys(read_settings(ScraperSettings)))
    except SettingInvalid as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{json.dumps(authors.hashes(source, name))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
