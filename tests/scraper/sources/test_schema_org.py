"""A site of schema.org pages, from its index of sitemaps to its titles, over HTTP."""

import gzip
import json
from collections.abc import Callable

from trending_scraper.testing import Crawl, MisbehavingSite, answer
from trending_shared.events import TitleScraped

FILM = {
    "@type": "Movie",
    "identifier": "salt-roads",
    "name": "Salt Roads",
    "description": "A caravan crosses a desert that is no longer there.",
    "sameAs": "https://www.imdb.com/title/tt9900102/",
}


async def test_an_index_of_sitemaps_leads_to_the_sites_titles(
    site: MisbehavingSite, crawl: Callable[..., Crawl]
) -> None:
    index = (
        f"<sitemapindex><sitemap><loc>{site.url('/films.xml.gz')}</loc></sitemap></sitemapindex>"
    )
    pages = f"<urlset><url><loc>{site.url('/films/salt-roads')}</loc></url></urlset>"
    film = f'<script type="application/ld+json">{json.dumps(FILM)}</script>'
    site.at("/sitemap.xml", answer(index, content_type="text/xml"))
    packed = gzip.compress(pages.encode())
    site.at("/films.xml.gz", answer(packed, content_type="application/x-gzip"))
    site.at("/films/salt-roads", answer(film))
    films = crawl("schema_org", options={"title_path": "/films/[^/]+"})
    await films.do("/sitemap.xml")
    assert films.refused == []
    (title,) = films.told(TitleScraped)
    assert (title.source_id, title.title.name) == ("salt-roads", "Salt Roads")
    assert title.title.external_ids == {"imdb": "tt9900102"}
    assert site.asked == ["/robots.txt", "/sitemap.xml", "/films.xml.gz", "/films/salt-roads"]
