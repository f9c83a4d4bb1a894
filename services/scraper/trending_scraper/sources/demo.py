"""The demo film site: ours, so that everything can be shown and tested without the internet."""

import re

from trending_scraper.addresses import authority
from trending_scraper.sources.schema_org import SchemaOrgSite
from trending_shared.errors import SettingInvalid


def demo_site(url: str) -> SchemaOrgSite:
    """The demo site at `http://host:port`.

    Raises:
        SettingInvalid: the URL isn't one.
    """
    host = authority(url)
    if host is None:
        raise SettingInvalid(f"SCRAPER_DEMO_URL: {url!r} must look like http://127.0.0.1:8080")
    return SchemaOrgSite(
        name="demo",
        license="LicenseRef-trending-demo",  # see the demo's README
        hosts=frozenset({host}),
        title_path=re.compile(r"/titles/[^/]+"),
    )
