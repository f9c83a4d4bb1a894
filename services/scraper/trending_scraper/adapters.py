"""Which adapter asks which source, and what a source needs before it is asked."""

from collections.abc import Mapping

from trending_scraper.addresses import authority
from trending_scraper.settings import ScraperSettings
from trending_scraper.sources.base import Source
from trending_scraper.sources.csv_file import CsvFile
from trending_scraper.sources.feeds import Feed
from trending_scraper.sources.imdb import Imdb
from trending_scraper.sources.omdb import Omdb
from trending_scraper.sources.schema_org import SchemaOrgSite
from trending_scraper.sources.tmdb import Tmdb
from trending_scraper.sources.trakt import Trakt
from trending_scraper.sources.tvmaze import Tvmaze
from trending_scraper.sources.wikidata import Wikidata
from trending_scraper.sources.wikimedia import Wikimedia
from trending_scraper.sources.wikipedia import Wikipedia
from trending_shared.errors import SettingInvalid
from trending_shared.settings import setting_value
from trending_shared.sources import SourceEntry, read_catalogue

ADAPTERS: Mapping[str, type[Source]] = {
    "csv_file": CsvFile,
    "demo": SchemaOrgSite,
    "feeds": Feed,
    "imdb": Imdb,
    "omdb": Omdb,
    "schema_org": SchemaOrgSite,
    "tmdb": Tmdb,
    "trakt": Trakt,
    "tvmaze": Tvmaze,
    "wikidata": Wikidata,
    "wikimedia": Wikimedia,
    "wikipedia": Wikipedia,
}


def configured_sources(settings: ScraperSettings) -> list[Source]:
    """The sources that the settings name, and the demo if they say where it is.

    Raises:
        SettingInvalid: a source isn't in the catalogue, or lacks its key, a consent or an address.
    """
    catalogue = read_catalogue(settings.sources_file)
    unknown = settings.sources - catalogue.keys()
    if unknown:
        raise SettingInvalid(
            f"SCRAPER_SOURCES: the catalogue has no {', '.join(sorted(unknown))}, "
            f"but {', '.join(sorted(catalogue))}"
        )
    named = settings.sources | ({"demo"} if settings.demo_url else set())
    return [create_source(name, catalogue[name], settings) for name in sorted(named)]


def create_source(name: str, entry: SourceEntry, settings: ScraperSettings) -> Source:
    """The adapter of an entry, with the key and the consent that the entry asks for.

    Raises:
        SettingInvalid: something of it is missing; the message names the variable.
    """
    if entry.adapter not in ADAPTERS:
        raise SettingInvalid(f"SOURCES_FILE: {name}: there is no adapter {entry.adapter!r}")
    if name == "demo":
        entry = entry.model_copy(update={"base": settings.demo_url})
    if entry.consent and not setting_value(settings, entry.consent):
        raise SettingInvalid(
            f"{entry.consent}: read {entry.terms} and set it to true, or leave "
            f"{name} out of SCRAPER_SOURCES"
        )
    key = setting_value(settings, entry.key.variable) if entry.key else None
    if entry.key and not key:
        raise SettingInvalid(f"{entry.key.variable}: {name} needs a key, from {entry.key.where}")
    own = authority(entry.base)
    if entry.base and own is None:
        where = "SCRAPER_DEMO_URL" if name == "demo" else f"SOURCES_FILE: {name}.base"
        raise SettingInvalid(f"{where}: {entry.base!r} must look like http://127.0.0.1:8080")
    hosts = entry.hosts | ({own} if own else frozenset())
    return ADAPTERS[entry.adapter](name, entry, hosts, key)
