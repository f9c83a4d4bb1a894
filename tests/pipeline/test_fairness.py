"""Bias in genres: what is measured is what was planted."""

import xml.dom.minidom
from pathlib import Path
from typing import Any

import pytest
from pipeline.fairness import Bias, Quality, Slice, draw, measure, wilson, write_page

from trending_shared.evaluation import Interval
from trending_shared.events import TitleCleaned
from trending_shared.testing import a_title_cleaned


def titles(source: str, count: int, **told: Any) -> list[TitleCleaned]:
    """Titles that two sources call the same; a value may depend on the number."""
    return [
        a_title_cleaned(
            title_id=f"{source}-{told.get('country', '')}-{number}",
            source=source,
            source_id=str(number),
            name=f"Title {told.get('country', '')} {number}",
            kind=told.get("kind", "film"),
            year=1990 + number % 30,
            genres=told["genres"](number),
            countries=(told.get("country", "France"),),
            external_ids={},
        )
        for number in range(count)
    ]


def comedy_or_drama(number: int) -> tuple[str, ...]:
    return ("Comedy",) if number % 2 else ("Drama",)


def test_sources_that_say_the_same_agree_wholly() -> None:
    one, other = (titles(source, 40, genres=comedy_or_drama) for source in ("one", "two"))
    (found,) = measure({"one": one, "two": other}).agreement
    assert (found.titles, found.jaccard) == (40, 1.0)
    assert {genre: kappa.kappa for genre, kappa in found.genres.items()} == {
        "Comedy": 1.0,
        "Drama": 1.0,
    }


def test_a_kappa_is_agreement_beyond_chance() -> None:
    # Of 40 titles each source calls 20 a comedy, and 10 are called so by both: as by chance.
    one = titles("one", 40, genres=lambda n: ("Comedy",) if n < 20 else ("Drama",))
    other = titles("two", 40, genres=lambda n: ("Comedy",) if 10 <= n < 30 else ("Drama",))
    (found,) = measure({"one": one, "two": other}).agreement
    comedy = found.genres["Comedy"]
    assert (comedy.first, comedy.second, comedy.both) == (20, 20, 10)
    assert comedy.kappa == pytest.approx(0)
    assert comedy.interval.low < 0 < comedy.interval.high


def test_what_a_source_never_says_of_a_kind_is_no_disagreement() -> None:
    one = titles("one", 40, kind="show", genres=lambda n: ("Sports", *comedy_or_drama(n)))
    other = titles("two", 40, kind="show", genres=comedy_or_drama)
    (found,) = measure({"one": one, "two": other}).agreement
    assert found.jaccard == 1.0
    assert "Sports" not in found.genres


def test_a_country_whose_titles_are_called_otherwise_is_found_and_no_other() -> None:
    sources = {
        "one": [
            *titles("one", 200, genres=comedy_or_drama),
            *titles("one", 60, country="Japan", genres=lambda n: ("Anime",)),
            *titles("one", 60, country="Norway", genres=comedy_or_drama),
        ]
    }
    found = measure(sources)
    countries = {each.group for each in found.shares if each.dimension == "country"}
    assert "Japan" in countries
    anime = next(e for e in found.shares if (e.group, e.genre) == ("Japan", "Anime"))
    assert (anime.share, anime.titles) == (1.0, 60)
    assert not any(each.group == "Norway" and each.genre == "Comedy" for each in found.shares)
    assert measure(sources) == found


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998
    found = wilson(81, 263)
    assert found.low == pytest.approx(0.2553, abs=1e-4)
    assert found.high == pytest.approx(0.3662, abs=1e-4)
    assert wilson(0, 20).low == 0.0


def test_the_page_and_the_picture_show_what_was_measured(tmp_path: Path) -> None:
    part = Slice(
        dimension="country",
        group="Japan",
        titles=60,
        macro_f1=0.4,
        interval=Interval(low=0.3, high=0.5),
        surely_below=True,
    )
    quality = Quality(algorithm="blend", version="abc", titles=900, macro_f1=0.6, slices=(part,))
    one, other = (titles(source, 40, genres=comedy_or_drama) for source in ("one", "two"))
    bias: Bias = measure({"one": one, "two": other}, quality=quality)
    page = write_page(bias)
    assert "40 titles are in both" in page
    assert "| country Japan | 60 | 0.400 | 0.30 to 0.50 | surely below |" in page
    draw(bias, tmp_path / "bias.svg")
    drawn = (tmp_path / "bias.svg").read_text()
    [root] = xml.dom.minidom.parseString(drawn).childNodes[-1:]
    assert root.nodeName == "svg"
    assert "Japan" in drawn
