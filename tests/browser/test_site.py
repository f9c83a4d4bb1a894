"""The documentation as a site: built strictly, asking no other host for anything, open to all.

`make test-site SCREENSHOTS=screenshots` keeps what was seen.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

ROOT = Path(__file__).parents[2]
KEPT = os.environ.get("SCREENSHOTS")
PATIENCE = 60_000  # ms; a busy machine makes no test fail
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
SHOWN = {
    "start": "index.html",
    "tutorial": "tutorial/first-prediction.html",
    "http": "reference/http.html",
    "events": "events.html",
    "decision": "decisions/0045-dashboards-and-alerts-are-code.html",
    "service": "services/inference.html",
    "ethics": "explanation/ethics.html",
    "seed": "reference/seed.html",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew; a link, an anchor or a page that leads nowhere ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@dataclass
class Found(HTMLParser):
    """What one page links to, loads, shows and can be linked to."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    nameless: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.ids |= {told[name] for name in ("id", "name") if name in told}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        if (source := told.get(LOADED.get(tag, ""))) and told.get("rel") != "canonical":
            self.loads.append(source)
        if tag == "img" and not told.get("alt", "").strip():
            self.nameless.append(told.get("src", "?"))


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[str, Found]:
    found = {}
    for file in sorted(built.rglob("*.html")):
        found[file.relative_to(built).as_posix()] = page = Found()
        page.feed(file.read_text())
    return found


def test_every_link_and_anchor_of_every_page_leads_somewhere(
    built: Path, pages: dict[str, Found]
) -> None:
    followed, broken = 0, []
    for name, page in pages.items():
        for link in {*page.links, *page.loads}:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            followed += 1
            target = (built / name).parent / unquote(address.path) if address.path else built / name
            path = os.path.relpath(target.resolve(), built.resolve())
            anchored = not address.fragment or path not in pages
            if name == "404.html":
                continue  # is served anywhere, so it links from the root
            if not target.exists() or not (
                anchored or unquote(address.fragment) in pages[path].ids
            ):
                broken.append(f"{name}: {link}")
    assert broken == []
    assert followed > 10_000


def test_no_page_loads_anything_of_another_host(built: Path, pages: dict[str, Found]) -> None:
    foreign = {
        f"{name}: {source}"
        for name, page in pages.items()
        for source in page.loads
        if urlsplit(source).netloc
    }
    assert foreign == set()
    assert [
        file.name
        for file in built.rglob("*.css")
        if "url(http" in file.read_text() or "@import" in file.read_text()
    ] == []


def test_every_picture_says_what_it_shows(pages: dict[str, Found]) -> None:
    assert {name: page.nameless for name, page in pages.items() if page.nameless} == {}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Reader:
    """Opens pages of the site and notes what they ask whom for; other hosts get nothing."""

    chromium: Browser
    address: str
    foreign: list[str] = field(default_factory=list)
    asked: int = 0

    def open(self, name: str, *, theme: str = "light", width: int = 1280) -> Page:
        context = self.chromium.new_context(
            base_url=self.address,
            color_scheme=theme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
        )
        context.route("**/*", self._let_through)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"/{name}")
        return page

    def _let_through(self, route: Route, request: Request) -> None:
        self.asked += 1
        if request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(request.url)
            route.abort()


@pytest.fixture
def reader(chromium: Browser, address: str) -> Iterator[Reader]:
    reader = Reader(chromium, address)
    yield reader
    for context in chromium.contexts:
        context.close()
    assert reader.foreign == []
    assert reader.asked > 0


@pytest.mark.browser
@pytest.mark.site
def test_a_browser_asks_no_other_host_on_any_page(reader: Reader, pages: dict[str, Found]) -> None:
    page = reader.open("index.html")
    for name in pages:
        page.goto(f"/{name}", wait_until="load")
    assert reader.asked > len(pages)


@pytest.mark.browser
@pytest.mark.site
def test_what_is_searched_for_is_found_without_any_other_host(reader: Reader) -> None:
    page = reader.open("index.html")
    page.get_by_role("textbox", name="Search").fill("create-only")
    expect(page.locator(".md-search-result__list > li").first).to_contain_text("create-only")


@pytest.mark.browser
@pytest.mark.site
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", SHOWN)
def test_a_page_of_the_site_fits_and_keeps_nobody_out(
    reader: Reader, serious: Callable[[Page], list[str]], name: str, theme: str
) -> None:
    page = reader.open(SHOWN[name], theme=theme)
    assert serious(page) == []
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        if KEPT:
            Path(KEPT).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(KEPT) / f"site-{name}-{theme}-{width}.png")
