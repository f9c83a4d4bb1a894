"""A film site for scrapers: pages of 34 KB with 20 reviews, and what each of them says.

`python -m benchmarks.scraping_site PAGES` serves them on SCRAPING_SITE_PORT, without compression.
All is made from the number of a page, so that nobody has to keep what was served to know it. A page
tells the same twice, as JSON-LD and in the HTML that people see; `/plain/film-1` lacks the former.
"""

import asyncio
import html
import json
import os
import sys
from random import Random

from pydantic import BaseModel

HOST = "127.0.0.1"
REVIEWS = 20
WORDS = (
    "the a of and but with in from who that film story night house river city sea war love "
    "friend mother soldier winter summer island letter ghost train music silence garden stranger "
    "slow bright tender cruel clever uneven patient restless memorable “quoted” naïve café "
    "searches forgets returns leaves finds loses watches hopes"
)
GENRES = ("Drama", "Comedy", "Thriller", "Horror", "Romance", "Documentary", "Western")
# What most of a page is made of anywhere: navigation, styles, footers.
CHROME = "".join(
    f'<li class="menu-item level-{n % 3}"><a href="/about/{n}" title="Page {n}">Page {n}</a></li>'
    for n in range(60)
)
STYLE = "".join(
    f".card-{n}{{margin:{n}px;padding:{n % 7}px;border:1px solid #ddd}}" for n in range(40)
)


class Review(BaseModel):
    """A review as its page has it."""

    id: str
    author: str
    day: str
    rating: str
    text: str


class Film(BaseModel):
    """What a page says."""

    id: str
    name: str
    year: str
    genres: list[str]
    plot: str
    reviews: list[Review]


def film(number: int) -> Film:
    """The film of a page."""
    random = Random(number)

    def words(least: int, most: int) -> str:
        return " ".join(random.choices(WORDS.split(), k=random.randint(least, most)))

    return Film(
        id=f"film-{number}",
        name=f"{words(2, 4).title()} {number}",
        year=str(random.randint(1930, 2026)),
        genres=random.sample(GENRES, k=random.randint(1, 3)),
        plot=f"{words(60, 90)}.",
        reviews=[
            Review(
                id=f"film-{number}-review-{place}",
                author=f"Reader {random.randint(1, 5000)}",
                day=f"20{random.randint(10, 25)}-{random.randint(1, 12):02}-11",
                rating=str(random.randint(1, 10)),
                text=f"{words(60, 78)} & {words(2, 4)}.",
            )
            for place in range(REVIEWS)
        ],
    )


def page(film: Film, *, plain: bool = False) -> bytes:
    """A film's page."""
    escaped = html.escape
    data = "" if plain else f'<script type="application/ld+json">{_linked_data(film)}</script>'
    reviews = "".join(
        f'<article class="review" id="{one.id}"><span class="author">{one.author}</span>'
        f'<time datetime="{one.day}">{one.day}</time><span class="rating">{one.rating}/10</span>'
        f'<p class="text">{escaped(one.text)}</p></article>'
        for one in film.reviews
    )
    genres = "".join(f'<a href="/genres/{one}">{one}</a>' for one in film.genres)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(film.name)}'
        f"</title><style>{STYLE}</style>{data}</head><body><nav><ul>{CHROME}</ul></nav><main>"
        f'<h1>{escaped(film.name)}</h1><span class="year">{film.year}</span>'
        f'<p class="genres">{genres}</p><p class="plot">{escaped(film.plot)}</p>'
        f"<section>{reviews}</section></main><script>window.page = 1 < 2</script></body></html>"
    ).encode()


def _linked_data(film: Film) -> str:
    node = {
        "@context": "https://schema.org",
        "@type": "Movie",
        "identifier": film.id,
        "name": film.name,
        "datePublished": film.year,
        "genre": film.genres,
        "description": film.plot,
        "review": [
            {
                "@type": "Review",
                "identifier": one.id,
                "author": {"@type": "Person", "name": one.author},
                "datePublished": one.day,
                "reviewBody": one.text,
                "reviewRating": {"@type": "Rating", "ratingValue": one.rating, "bestRating": 10},
            }
            for one in film.reviews
        ],
    }
    return json.dumps(node, ensure_ascii=False)


class Answers(asyncio.Protocol):
    """One connection, kept open (RFC 9112)."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            self._transport.write(self._answers.get(path, _answer("404 Not Found", b"")))


def _answer(status: str, body: bytes, kind: str = "text/html; charset=utf-8") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(pages: int, port: int) -> None:
    """Answer until we are ended; all answers lie ready, so the site is never what takes time."""
    robots = b"User-agent: *\nDisallow: /private/\nCrawl-delay: 0\n"
    answers = {
        b"/robots.txt": _answer("200 OK", robots, "text/plain"),
        b"/readyz": _answer("200 OK", b"ready", "text/plain"),
    }
    for number in range(pages):
        told = film(number)
        answers[f"/titles/{told.id}".encode()] = _answer("200 OK", page(told))
        answers[f"/plain/{told.id}".encode()] = _answer("200 OK", page(told, plain=True))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answers(answers), HOST, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(os.environ["SCRAPING_SITE_PORT"])))
