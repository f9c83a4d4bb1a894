"""The process: `python -m trending_demo` serves the site until it is told to stop."""

import argparse
import json
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from types import FrameType

import uvicorn

from trending_demo.arrivals import arrivals_in_turn
from trending_demo.catalogue import CatalogueInvalid, csv_catalogue, demo_catalogue
from trending_demo.site import create_app


class AnnouncedServer(uvicorn.Server):
    """Tells its address once it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str, int], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._announce(host, port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    The exit status is 0 then, 3 if the address can't be listened on, 2 if an argument or the
    catalogue can't be used.
    """
    # uvicorn finishes open requests, then hands the signal on to these.
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    options = parser().parse_args(arguments)
    try:
        catalogue = csv_catalogue(options.catalogue) if options.catalogue else demo_catalogue()
        shown = {"now": catalogue}
        if options.arrivals:
            parts = iter(arrivals_in_turn(wrong=options.arrivals == "wrong"))

            def grow(number: int, frame: FrameType | None) -> None:
                for part in islice(parts, 1):
                    shown["now"] = shown["now"].with_more(part)

            signal.signal(signal.SIGUSR1, grow)
    except (CatalogueInvalid, OSError) as error:
        sys.stderr.write(f"demo site: {error}\n")
        raise SystemExit(2) from error
    app = create_app(
        lambda: shown["now"],
        today=options.today,
        page_size=options.page_size,
        crawl_delay=options.crawl_delay,
    )
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
    )

    def announce(host: str, port: int) -> None:
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        sys.stdout.write(announcement(url, len(catalogue.titles), as_json=options.json))
        sys.stdout.flush()

    AnnouncedServer(config, announce).run()


def leave(signal_number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def announcement(url: str, titles: int, *, as_json: bool) -> str:
    """The one line on standard output: where the site is, and how many titles it has."""
    if as_json:
        return json.dumps({"url": url, "titles": titles}) + "\n"
    return f"demo site: {url} ({titles} titles)\n"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trending_demo",
        description="A small film site for the demo of Trending Now.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=port, default=0, help="port; 0, the default, is a free one")
    parser.add_argument(
        "--catalogue", type=Path, metavar="FILE", help="a CSV to serve instead of our own catalogue"
    )
    parser.add_argument(
        "--arrivals",
        choices=("right", "wrong"),
        help="add 140 titles in German on SIGUSR1 and 105 at the next, with their genres or with "
        "genres at random",
    )
    parser.add_argument(
        "--today",
        type=day,
        metavar="DATE",
        help="the day that views and reviews lead up to, such as 2026-11-01 (today, in UTC)",
    )
    parser.add_argument(
        "--page-size",
        type=positive,
        default=100,
        metavar="N",
        help="titles a list page (%(default)s)",
    )
    parser.add_argument(
        "--crawl-delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="what robots.txt asks for between two requests (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="tell the address as JSON")
    return parser


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError(f"{number} is no port")
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def day(text: str) -> date:
    return date.fromisoformat(text)


if __name__ == "__main__":
    main()
