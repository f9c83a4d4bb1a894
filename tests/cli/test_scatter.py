"""The plot of quality against time: where dots are, and where their names are beside them."""

import pytest

from trending_cli.scatter import BOTTOM, LEFT, LETTER, LINE, RIGHT, TOP, Dot, Point, scatter


def a_point(name: str, time: float, score: float) -> Point:
    return Point(name, time, score, score - 0.02, score + 0.02)


def box(dot: Dot) -> tuple[float, float]:
    """From where to where a name goes."""
    width = LETTER * len(dot.point.name)
    return (dot.name_x - width, dot.name_x) if dot.leftwards else (dot.name_x, dot.name_x + width)


def test_dots_are_where_the_axes_say() -> None:
    found = scatter([a_point("one", 1.0, 0.6), a_point("other", 10.0, 0.5)])
    times = {word: place for place, word in found.times}
    scores = {word: place for place, word in found.scores}
    assert list(times) == ["0.5", "1", "2", "5", "10", "20"]
    assert [times["0.5"], times["20"]] == [LEFT, RIGHT]
    assert list(scores) == ["0.45", "0.50", "0.55", "0.60", "0.65"]
    one, other = found.dots
    assert [one.x, one.y] == pytest.approx([times["1"], scores["0.60"]])
    assert [other.x, other.y] == pytest.approx([times["10"], scores["0.50"]])
    assert TOP <= one.high < one.y < one.low <= BOTTOM


def test_who_is_both_slower_and_worse_is_beaten() -> None:
    points = [
        *(a_point("best", 10, 0.7), a_point("slow", 11, 0.6), a_point("fast", 1, 0.5)),
        *(a_point("equal", 1, 0.5), a_point("behind", 1, 0.4)),
    ]
    assert [dot.point.name for dot in scatter(points).dots if dot.beaten] == ["slow", "behind"]


def test_names_hide_neither_dots_nor_each_other_and_stay_inside() -> None:
    crowd = [a_point(f"a-long-family {n}", 8 + n, 0.6 + n % 3 / 500) for n in range(6)]
    dots = scatter([*crowd, a_point("another-family", 0.1, 0.6)]).dots
    for n, dot in enumerate(dots):
        left, right = box(dot)
        assert LEFT < left < right < RIGHT
        assert TOP < dot.name_y < BOTTOM
        for other in dots:
            assert not (left < other.x < right and abs(dot.name_y - other.y) < LINE)
        for other in dots[:n]:
            their_left, their_right = box(other)
            apart = left >= their_right or their_left >= right
            assert apart or abs(dot.name_y - other.name_y) >= LINE


@pytest.mark.parametrize("time", [1e-9, 0.2, 1e9])
def test_one_point_alone_has_a_plot(time: float) -> None:
    [dot] = scatter([Point("one", time, 0.0, 0.0, 0.0)]).dots
    assert dot.y == BOTTOM
