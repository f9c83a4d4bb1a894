"""What robots.txt says, and what follows when it says nothing."""

from collections.abc import Set as AbstractSet
from datetime import timedelta

import pytest

from trending_scraper.robots import Robots, RobotsFile, Rules, rules_of
from trending_scraper.sources.base import SourceUnavailable
from trending_shared.clock import FrozenClock

ORIGIN = "https://films.example:443"
HOSTS = frozenset({"films.example:443"})


class Answers:
    """Answers in turn, the last for ever; none means that nobody answers."""

    def __init__(self, *answers: RobotsFile | None) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, url: str, hosts: AbstractSet[str]) -> RobotsFile:
        self.asked.append(url)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise SourceUnavailable("refused")
        return answer


def test_rules_for_us_go_before_rules_for_all() -> None:
    rules = Rules(
        "User-agent: *\nDisallow: /\n\nUser-agent: Trending-Now\nDisallow: /private/\n"
        "Crawl-delay: 0.5\n"
    )
    assert rules.allow(f"{ORIGIN}/titles/alien-1979")
    assert not rules.allow(f"{ORIGIN}/private/notes")
    assert rules.crawl_delay == 0.5


@pytest.mark.parametrize("said", ["nan", "-1", "inf", "soon", ""])
def test_a_crawl_delay_that_is_no_time_is_none(said: str) -> None:
    assert Rules(f"User-agent: *\nCrawl-delay: {said}\n").crawl_delay is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_file_that_isnt_there_allows_everything(status: int) -> None:
    assert rules_of(RobotsFile(status)).allow(f"{ORIGIN}/private/notes")


@pytest.mark.parametrize("status", [429, 500, 503, 301])
def test_a_file_that_cant_be_had_now_allows_nothing_for_now(status: int) -> None:
    with pytest.raises(SourceUnavailable):
        rules_of(RobotsFile(status))


def test_a_byte_order_mark_and_broken_bytes_do_no_harm() -> None:
    rules = rules_of(RobotsFile(200, b"\xef\xbb\xbfUser-agent: *\n\xff\xfe\nDisallow: /a\n"))
    assert not rules.allow(f"{ORIGIN}/a")


async def test_a_site_is_asked_once_a_day(clock: FrozenClock) -> None:
    answers = Answers(RobotsFile(404), RobotsFile(200, b"User-agent: *\nDisallow: /\n"))
    robots = Robots(answers, clock=clock)
    for _ in range(3):
        assert (await robots.rules(ORIGIN, HOSTS)).allow(f"{ORIGIN}/a")
    clock.advance(timedelta(hours=24))
    assert not (await robots.rules(ORIGIN, HOSTS)).allow(f"{ORIGIN}/a")
    assert answers.asked == [f"{ORIGIN}/robots.txt"] * 2


async def test_a_site_that_doesnt_answer_is_asked_again_after_a_minute(clock: FrozenClock) -> None:
    answers = Answers(None, RobotsFile(404))
    robots = Robots(answers, clock=clock)
    for _ in range(3):
        with pytest.raises(SourceUnavailable):
            await robots.rules(ORIGIN, HOSTS)
    assert len(answers.asked) == 1
    clock.advance(timedelta(minutes=1))
    assert (await robots.rules(ORIGIN, HOSTS)).allow(f"{ORIGIN}/a")


async def test_a_site_that_cant_say_is_asked_less_and_less_often_and_jobs_are_told_when(
    clock: FrozenClock,
) -> None:
    answers = Answers(None)
    robots = Robots(answers, clock=clock)
    pauses = []
    for _ in range(8):
        with pytest.raises(SourceUnavailable) as refused:
            await robots.rules(ORIGIN, HOSTS)
        assert refused.value.not_before is not None
        pauses.append((refused.value.not_before - clock.now()).total_seconds() / 60)
        clock.at = refused.value.not_before
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(answers.asked) == 8


async def test_a_site_that_names_a_time_is_asked_for_its_rules_then(clock: FrozenClock) -> None:
    at = clock.now() + timedelta(hours=3)

    async def busy(url: str, hosts: AbstractSet[str]) -> RobotsFile:
        raise SourceUnavailable("busy", not_before=at)

    with pytest.raises(SourceUnavailable) as refused:
        await Robots(busy, clock=clock).rules(ORIGIN, HOSTS)
    assert refused.value.not_before == at


async def test_old_rules_stay_in_force_while_new_ones_cant_be_had(clock: FrozenClock) -> None:
    answers = Answers(RobotsFile(200, b"User-agent: *\nDisallow: /private/\n"), RobotsFile(503))
    robots = Robots(answers, clock=clock)
    await robots.rules(ORIGIN, HOSTS)
    clock.advance(timedelta(hours=25))
    rules = await robots.rules(ORIGIN, HOSTS)
    assert rules.allow(f"{ORIGIN}/a")
    assert not rules.allow(f"{ORIGIN}/private/a")
