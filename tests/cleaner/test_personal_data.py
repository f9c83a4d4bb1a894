"""What viewers tell of themselves and others doesn't stay in their reviews."""

import random

import pytest

from trending_cleaner.personal_data import scrub


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Write to jane.doe+films@mail.example.org!", "Write to [email]!"),
        ("ask @jane@social.example about it", "ask [email] about it"),
        ("thanks @film_fan.99, great tip", "thanks [handle], great tip"),
        ("see https://example.net/a?b=c#d.", "see [url]."),
        ("on www.example.net/me (mine)", "on [url] (mine)"),
        ("my blog jane.blogspot.com has more", "my blog [url] has more"),
        ("call +49 170 1234567 now", "call [phone] now"),
        ("call (555) 010-4567 89", "call [phone]"),
        ("call 0171/2345678.", "call [phone]."),
        ("call 555-010-4567", "call [phone]"),
        ("a@b.example and c@d.example", "[email] and [email]"),
    ],
)
def test_personal_data_is_replaced_by_a_mark_of_its_kind(text: str, left: str) -> None:
    assert scrub(text).text == left


@pytest.mark.parametrize(
    "text",
    [
        "Better than the ones of 1979, 1986 and 1992",
        "the sequels 1979 1986 1992 1997",
        "seen on 2026-11-01 10 times",
        "10/10, would watch again @ home",
        "It made 1,000,000,000 dollars",
        "runs 117 minutes, 2.35:1",
        "Blade Runner 2049 vs. 2001: A Space Odyssey",
        "Wait...what? e.g. this. And that.",
    ],
)
def test_years_scores_and_amounts_stay(text: str) -> None:
    assert scrub(text).text == text


def test_what_was_found_is_counted_by_kind() -> None:
    found = scrub("a@b.example, c@d.example, @someone and www.example.net").found
    assert found == {"email": 2, "handle": 1, "url": 1}


def test_scrubbing_twice_is_scrubbing_once() -> None:
    pieces = [
        *("@", ".", "a", "b.c", "x@y.zz", "www.", "http://", "://", ".com", "net", "+", "(", ")"),
        *("1", "23", "4567", "-", "/", " ", "[email]", "[phone]", "é", "2026-11-01", "_", "%"),
    ]
    chance = random.Random(1888)
    for _ in range(3000):
        text = " ".join("".join(chance.choices(pieces, k=chance.randint(1, 25))).split())
        once = scrub(text).text
        assert scrub(once).text == once, text


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "a@",
        "@",
        "@a",
        "1",
        "1 ",
        "( ",
        "+",
        "http://",
        "www.",
        "www.)",
        "a-",
        "a@a.",
        "%",
    ],
)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    # Quadratic time would show: these are as long as a review may be.
    once = scrub(piece * (20_000 // len(piece))).text
    assert scrub(once).text == once
