"""Titles from what a page shows to people."""

from trending_scraper.visible_page import MAX_REVIEWS, read
from trending_shared.events import RawReview, RawTitle

PAGE = """
<h1>Alien &amp; Co</h1>
<ul class="genres"><li><a href="/g/1">Horror</a></li><li><a href="/g/2">Sci-Fi</a></li></ul>
<p class="plot">The crew of a freighter
  answers a <em>call</em>.</p>
<dl><dd class="kind">Film</dd><dd class="year">1979</dd>
<dd class="country">United Kingdom</dd><dd class="country">United States</dd>
<dd class="language">English</dd><dd class="runtime">117 min</dd><dd class="age-rating">R</dd>
<dd class="score">8.1/10 <small>from <b class="rating-count">3</b> reviews</small></dd></dl>
<article class="review" id="r1"><header><span class="author">tidal_moth</span>
<time datetime="2026-10-20">20 October 2026</time> <span class="rating">9/10</span></header>
<p class="text">Slow and terrifying.</p></article>
<article class="long review"><time>yesterday</time><p class="text">Too long.</p></article>
"""


def test_all_that_is_marked_is_read_as_it_stands() -> None:
    found = read(PAGE)
    assert found is not None
    title, reviews = found
    assert title == RawTitle(
        name="Alien & Co",
        kind="Film",
        year="1979",
        genres=("Horror", "Sci-Fi"),
        plot="The crew of a freighter answers a call.",
        countries=("United Kingdom", "United States"),
        language="English",
        runtime="117 min",
        age_rating="R",
        rating="8.1",
        best_rating="10",
        rating_count="3",
    )
    assert [one.author for one in reviews] == ["tidal_moth", None]
    assert [one.review for one in reviews] == [
        RawReview(
            review_source_id="r1",
            text="Slow and terrifying.",
            rating="9",
            best_rating="10",
            day="2026-10-20",
        ),
        RawReview(text="Too long.", day="yesterday"),
    ]


def test_marks_of_schema_org_are_read_too() -> None:
    found = read(
        '<h1 itemprop="name">Dark</h1><span itemprop="genre">Drama</span>'
        '<span itemprop="ratingValue">8.7</span><div itemprop="description">A child.</div>'
    )
    assert found is not None
    assert found[0] == RawTitle(name="Dark", genres=("Drama",), rating="8.7", plot="A child.")


def test_a_review_doesnt_speak_for_the_title() -> None:
    found = read(
        "<h1>Dark</h1><p class=plot>A child.</p>"
        "<article class=review><p class=plot>Spoilers.</p><p class=genre>Boring</p></article>"
    )
    assert found is not None
    assert found[0] == RawTitle(name="Dark", plot="A child.")


def test_a_heading_alone_is_no_title() -> None:
    assert read("<h1>Please log in</h1><time>now</time>") is None
    assert read("<p class=plot>A child.</p>") is None


def test_a_page_of_nothing_but_reviews_in_reviews_is_cut_short() -> None:
    found = read("<h1>x</h1><p class=plot>y</p>" + "<article class=review>z" * 50_000)
    assert found is not None
    assert len(found[1]) == MAX_REVIEWS
