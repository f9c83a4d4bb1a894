"""What one more record is in the light of those before it."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from trending_cleaner.deduplication import REDELIVERABLE, History, Verdict, Version

NEW, AGAIN, DUPLICATE, OUTDATED = Verdict
ALIEN, HEAT = "t_00000000000000a1", "t_00000000000000b2"
DAY = timedelta(days=1)


def seen(day: float, content: int, event: int) -> Version:
    return Version.of(
        fetched_at=datetime(2026, 11, 1, tzinfo=UTC) + day * DAY,
        content_hash=f"{content:016x}",
        event_id=UUID(int=event << 64),
    )


def verdicts(*records: Version) -> list[Verdict]:
    history = History()
    return [history.judge(ALIEN, record) for record in records]


def test_the_same_event_gets_the_same_answer_another_one_is_a_duplicate() -> None:
    assert verdicts(seen(1, 1, event=1), seen(1, 1, event=1), seen(2, 1, event=2)) == [
        NEW,
        AGAIN,
        DUPLICATE,
    ]


def test_a_content_that_comes_back_is_a_version_of_its_own() -> None:
    there_and_back = [seen(1, 1, event=1), seen(2, 2, event=2), seen(3, 1, event=3)]
    assert verdicts(*there_and_back) == [NEW, NEW, NEW]
    assert verdicts(*there_and_back, *there_and_back) == [NEW] * 3 + [AGAIN] * 3


def test_a_late_record_of_a_time_that_is_over_is_outdated() -> None:
    assert verdicts(seen(2, 2, event=2), seen(1, 1, event=1)) == [NEW, OUTDATED]


def test_a_late_record_is_outdated_by_a_duplicate_too() -> None:
    # The page said 1, then 2, then 1 again; the 2 comes last, and mustn't become the newest.
    assert verdicts(seen(1, 1, event=1), seen(3, 1, event=3), seen(2, 2, event=2)) == [
        NEW,
        DUPLICATE,
        OUTDATED,
    ]


def test_two_contents_of_one_moment_are_both_kept_and_both_known() -> None:
    records = [seen(1, 1, event=1), seen(1, 2, event=2), seen(1, 1, event=3), seen(1, 2, event=4)]
    assert verdicts(*records) == [NEW, NEW, DUPLICATE, DUPLICATE]


def test_titles_are_kept_apart() -> None:
    history = History()
    assert history.judge(ALIEN, seen(1, 1, event=1)) is NEW
    assert history.judge(HEAT, seen(1, 1, event=2)) is NEW


def test_a_draft_leaves_what_is_known_as_it_is() -> None:
    history = History()
    history.learn(ALIEN, seen(1, 1, event=1))
    assert history.draft().judge(ALIEN, seen(2, 2, event=2)) is NEW
    assert history.draft().judge(ALIEN, seen(2, 2, event=2)) is NEW
    assert history.draft().judge(ALIEN, seen(2, 1, event=3)) is DUPLICATE


def test_what_the_table_tells_may_come_in_any_order_and_twice() -> None:
    versions = [seen(day, day % 2, event=day) for day in range(5)]
    shuffled = [*versions, *reversed(versions)]
    random.Random(1).shuffle(shuffled)
    history = History()
    for version in shuffled:
        history.learn(ALIEN, version)
    assert [history.judge(ALIEN, version) for version in versions] == [AGAIN] * 5
    assert history.judge(ALIEN, seen(1.5, 1, event=9)) is DUPLICATE
    assert history.judge(ALIEN, seen(1.5, 7, event=9)) is OUTDATED


def test_a_title_that_changes_every_day_takes_no_ever_growing_memory() -> None:
    packed: dict[int, bytes] = {}
    history = History(packed)
    for day in range(1000):
        assert history.judge(ALIEN, seen(day, day, event=day)) is NEW
    assert len(packed[0xA1]) < (REDELIVERABLE.days + 3) * 24
    recent = range(1000 - REDELIVERABLE.days, 1000)
    assert {history.judge(ALIEN, seen(day, day, event=day)) for day in recent} == {AGAIN}
    assert history.judge(ALIEN, seen(1000, 1, event=2000)) is NEW


def test_whatever_a_record_once_was_it_is_again_when_it_comes_again() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        records = [
            seen(chance.randint(0, 8), chance.randint(0, 2), event=event) for event in range(1, 25)
        ]
        history = History()
        first: dict[Version, Verdict] = {}
        for record in records:
            for one in (record, chance.choice([*first, record])):
                verdict = history.judge(ALIEN, one)
                once = first.setdefault(one, verdict)
                assert verdict in (once, AGAIN if once is NEW else once), (seed, one)


def test_the_newest_version_is_what_the_page_said_when_it_was_last_seen() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        records = [seen(day, chance.randint(0, 2), event=day + 1) for day in range(12)]
        chance.shuffle(records)
        history = History()
        kept = [record for record in records if history.judge(ALIEN, record) is NEW]
        assert max(kept).content == max(records).content, seed


def test_in_the_right_order_each_change_is_one_version() -> None:
    chance = random.Random(7)
    contents = [chance.randint(0, 2) for _ in range(60)]
    kept = defaultdict(list)
    history = History()
    for day, content in enumerate(contents):
        kept[history.judge(ALIEN, seen(day, content, event=day + 1))].append(day)
    changes = [day for day in range(60) if day == 0 or contents[day] != contents[day - 1]]
    assert kept == {NEW: changes, DUPLICATE: sorted(set(range(60)) - set(changes))}
