"""What viewers tell of themselves and others doesn't stay in their reviews."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        # numbers of many countries
        ("0049 170 1234567", "[phone]"),
        ("+1 (555) 010-4567", "[phone]"),
        ("555.010.4567", "[phone]"),
        ("020 7946 0958", "[phone]"),
        ("01 23 45 67 89", "[phone]"),
        ("98765 43210", "[phone]"),
        ("03-1234-5678", "[phone]"),
        ("＋４９ １７０ １２３４５６７", "[phone]"),
        ("٠١٢٣٤٥٦٧٨٩٠", "[phone]"),
        ("10/10 0171 2345678", "10/10 [phone]"),
        # addresses that hide
        ("name (at) mail (dot) com", "[email]"),
        ("name [at] mail.example", "[email]"),
        ("name at mail dot com", "[email]"),
        ("name(at)mail.com", "[email]"),
        ("name @ mail . com", "[email]"),
        ("jane＠mail.example", "[email]"),
        ("jane@ｍａｉｌ．example", "[email]"),
        ("mailto:jane@mail.example", "mailto:[email]"),
        # networks and their names
        ("u/jane_doe said", "[handle] said"),
        ("see t.me/janedoe", "see [url]"),
        ("letterboxd.com/jane/film/x!", "[url]!"),
        ("example.co.uk/~jane", "[url]"),
        ("hxxp://bad.example/x", "[url]"),
        ("http://jane:secret@host.example/x", "[url]"),
        # accounts, cards, machines
        ("DE89 3704 0044 0532 0130 00 please", "[account] please"),
        ("GB82WEST12345698765432.", "[account]."),
        ("4111 1111 1111 1111", "[card]"),
        ("5500005555555559", "[card]"),
        ("3782 822463 10005", "[card]"),
        ("from 192.168.1.20.", "from [ip]."),
        ("from 2001:db8::1", "from [ip]"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "[ip]"),
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
        "10/10 8.5/10 9.0.1",
        "S01E02, 1x05, 00:12:34",
        "ISBN 978-3-16-148410-0",
        "DE89 3704 0044 0532 0130 01",
        "he looked at it dot by dot",
        "the one at home. Commercial!",
        "rated 7.9.2 or 999.1.1.1",
        "either/or, and/or",
    ],
)
def test_years_scores_and_amounts_stay(text: str) -> None:
    assert scrub(text).text == text


def test_what_was_found_is_counted_by_kind() -> None:
    found = scrub("a@b.example, c@d.example, @someone and www.example.net").found
    assert found == {"email": 2, "handle": 1, "url": 1}


_PIECES = (
    *("@", ".", "a", "b.c", "x@y.zz", "www.", "http://", "://", ".com", "net", "+", "(", ")", "u/"),
    *("1", "23", "4567", "-", "/", " ", "[email]", "[phone]", "é", "2026-11-01", "_", "%", "io/"),
    *("(at)", " at ", " dot ", "::", "db8:", "10/10", "4111", "DE89", "＠", "１", "．", "٣"),
)


@given(st.lists(st.sampled_from(_PIECES), max_size=25).map("".join) | st.text(max_size=60))
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    once = scrub(" ".join(text.split()))
    twice = scrub(once.text)
    assert (twice.text, twice.found) == (once.text, {})


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
        "(at)",
        "a at ",
        "a dot ",
        "a(at)a.",
        "a:",
        "::",
        "1.",
        "AB12 ",
        "u/",
        "a.io/",
        "＠",
    ],
)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    # Quadratic time would show: these are as long as a review may be.
    once = scrub(piece * (20_000 // len(piece))).text
    assert scrub(once).text == once
