"""What is shown of models: the page of one, and two beside each other."""

import re
from html import unescape
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_cli.model_pages import read_evaluation, write_model_page
from trending_shared.evaluation import UNKNOWN, Answers, Evaluation, evaluate
from trending_shared.genres import GENRES
from trending_shared.registry import CARD_HEADINGS, Manifest, ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.models import a_graph, a_manifest, promote

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{ 7 * 7 }}'
HALVES = dict.fromkeys(GENRES, 0.5)
WORDS = dict(zip(GENRES, map(str.lower, GENRES), strict=True))
UNRECORDED = GENRES.index("Reality")
UNSEEN = GENRES.index("Anime")
CARD = "".join(
    f"\n## {heading}\n\n- No {heading.lower()}, and {HOSTILE}.\n- And so on.\n"
    for heading in CARD_HEADINGS
)


def some_answers(rows: int = 240, *, skill: float = 2.0, seed: int = 0) -> Answers:
    """Labels that are always the same, and probabilities that tell of them more or less clearly."""
    chance = np.random.default_rng(5)
    labels = (chance.random((rows, len(GENRES))) < 0.2).astype(np.int8)
    labels[::2, UNRECORDED] = UNKNOWN
    labels[:, UNSEEN] = 0
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    said = 1 / (1 + np.exp(-(skill * (labels == 1) - skill / 2 + noise)))
    return Answers(labels, said.astype(np.float32), HALVES)


def slices_of(rows: int) -> dict[str, NDArray[np.object_]]:
    """Two halves, one named by a stranger, and a dimension of slices too small to tell."""
    return {
        "kind": np.array([("film", HOSTILE)[n % 2] for n in range(rows)], object),
        HOSTILE: np.array(["only"] * rows, object),
        "country": np.array([f"country {n}" for n in range(rows)], object),
    }


def metrics_of(answers: Answers) -> dict[str, Any]:
    """What a training keeps of these answers."""
    return {
        **evaluate(answers, slices_of(len(answers)), resamples=50).model_dump(mode="json"),
        "baselines": {"the most frequent genre": 0.0412, HOSTILE: 0.2321},
        "validation_f1": 0.6543,
        "trained_on": 987,
        "leaks": 13,
        "untrained": ["Anime"],
        "unrecorded": {f"{HOSTILE} films": ["Reality"], "demo shows": []},
        "left_out": {HOSTILE: 17},
        "weights": {"tfidf-logreg": 0.25, "bert": 0.75},
        "latency_seconds": 0.0123,
        "fit_seconds": 12.3,
        "peak_bytes": 512_000_000,
    }


def a_model(answers: Answers, **changes: Any) -> Manifest:
    fields = {
        "labels": GENRES,
        "thresholds": HALVES,
        "metrics": metrics_of(answers),
        "card": CARD,
        "params": {"bert": {"epochs": 3}, "tfidf-logreg": {"C": HOSTILE}},
    }
    return a_manifest(a_graph(WORDS), **(fields | changes))


def rows_of(page: str) -> dict[str, list[list[str]]]:
    """The words of each row of the page's tables, by their first."""
    found: dict[str, list[list[str]]] = {}
    for row in re.findall("<tr>(.*?)</tr>", page, re.DOTALL):
        cells = re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        words = [unescape(re.sub("<[^>]+>", " ", cell)).strip() for cell in cells]
        found.setdefault(words[0], []).append(words[1:])
    return found


def assert_harmless(page: str) -> None:
    """Nothing that a name or a card says is markup, and nothing is loaded from elsewhere."""
    assert "&lt;script&gt;alert(1)" in page
    for never in ("<script", "<img", ">49<", "}49", "http://", "https://", "url(", "@import"):
        assert never not in page.lower()
    assert "default-src 'none'" in page
    assert page.count('role="img"') == page.count('role="img" aria-label="')


# ---------------------------------------------------------------- the report of a model


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return a_model(some_answers())


@pytest.fixture(scope="module")
def evaluation(manifest: Manifest) -> Evaluation:
    return read_evaluation(manifest)


@pytest.fixture(scope="module")
def page(manifest: Manifest, evaluation: Evaluation) -> str:
    return write_model_page(manifest, evaluation)


def test_nothing_of_a_model_is_markup_in_its_report(page: str) -> None:
    assert_harmless(page)


def test_the_report_has_the_numbers_of_the_evaluation(page: str, evaluation: Evaluation) -> None:
    rows = rows_of(page)
    for genre, score in evaluation.genres.items():
        name = f"{genre}  not trained" if genre == "Anime" else genre
        shares = (score.precision, score.recall, score.f1, score.average_precision, 0.5)
        counts = (score.support, score.given, score.known)
        assert [*(f"{value:.3f}" for value in shares), *map(str, counts)] in rows[name]
    interval = evaluation.macro_f1_interval
    for told in (
        f"<b>{evaluation.macro_f1:.3f}</b> macro-F1",
        f"95 %: {interval.low:.3f}–{interval.high:.3f}",
        f"<b>{evaluation.micro_f1:.3f}</b>",
        f"<b>{evaluation.mean_average_precision:.3f}</b>",
        f"<b>{evaluation.calibration.ece:.3f}</b>",
        f"<b>{evaluation.calibration.brier:.3f}</b>",
        "<b>12.3 ms</b>",
        "<b>240</b> titles",
    ):
        assert told in page


def test_bars_whiskers_and_dots_are_where_the_numbers_say(
    page: str, evaluation: Evaluation
) -> None:
    drama = evaluation.genres["Drama"]
    assert f'width="{100 * drama.f1:.2f}%"' in page
    low, high = 100 * drama.f1_interval.low, 100 * drama.f1_interval.high
    assert f'<line class="whisker" x1="{low:.2f}%" x2="{high:.2f}%"' in page
    film = evaluation.slices["kind"]["film"]
    assert f'<circle class="dot " cx="{100 * film.macro_f1:.2f}%"' in page
    assert f'<line class="beside" x1="{100 * evaluation.macro_f1:.2f}%"' in page
    for bin in evaluation.calibration.bins:
        assert f'cx="{52 + 420 * bin.said:.1f}" cy="{350 - 340 * bin.true:.1f}"' in page


def test_a_genre_without_a_title_has_no_bar(page: str) -> None:
    [row] = re.findall('<th scope="row">Anime</th>(.*?)</tr>', page, re.DOTALL)
    assert "no title" in row
    assert "<rect" not in row


def test_the_report_tells_what_is_unknown_and_where_it_comes_from(
    page: str, manifest: Manifest
) -> None:
    rows = rows_of(page)
    assert rows["genres not trained"] == [["Anime"]]
    assert rows[f"unknown of {HOSTILE} films"] == [["Reality: the source doesn’t record it there"]]
    assert rows[f"left out: {HOSTILE}"] == [["17 titles, whose terms don’t permit training"]]
    assert rows["weights of the blend"] == [["tfidf-logreg 25.0%, bert 75.0%"]]
    assert rows["training"][0][0].startswith(manifest.training_id)
    assert rows["learned from"][0][0].startswith("987 titles")
    for once in (manifest.dataset_id, manifest.code_version, manifest.onnx_sha256):
        assert once in page
    assert "every slice by country" in page
    assert "No limits, and" in page
    assert "No ethics, and" not in page


def test_confusions_are_a_heat_table(page: str, evaluation: Evaluation) -> None:
    [table] = re.findall('<table class="heat">(.*?)</table>', page, re.DOTALL)
    counts = [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", table)]
    assert sorted(counts) == sorted(one.count for one in evaluation.confusions)


def test_a_model_of_few_words_has_a_report_too() -> None:
    bare = evaluate(some_answers(20), {}, resamples=10).model_dump(mode="json")
    manifest = a_model(some_answers(20), metrics=bare, params={}, card="")
    page = write_model_page(manifest, read_evaluation(manifest))
    assert "<b>–</b> a text" in page


# ---------------------------------------------------------------- the command


def test_the_report_is_written_and_told(offline: Any, manifest: Manifest) -> None:
    registry = registry_of(offline)
    promote(registry, a_graph(WORDS), **dict(manifest))
    said = offline.run("models", "report").stdout
    file = offline.home / "models" / f"{manifest.version}.html"
    assert str(file) in said
    assert file.read_text(encoding="utf-8") == write_model_page(manifest, read_evaluation(manifest))

    other = offline.home / "some" / "where.html"
    offline.run("models", "report", manifest.version, "--output", other)
    assert other.read_text(encoding="utf-8") == file.read_text(encoding="utf-8")

    file.unlink()
    told = offline.json("models", "report")
    assert Evaluation.model_validate(told) == read_evaluation(manifest)
    assert not file.exists()


def test_what_was_measured_by_another_trainer_is_said_to_be(offline: Any) -> None:
    assert "no champion" in offline.run("models", "report", status=3).stderr
    promote(registry_of(offline), a_graph())
    said = offline.run("models", "report", status=1).stderr
    assert "lacks confusions, mean_average_precision" in said
    assert "models train" in said


def registry_of(terminal: Any) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(terminal.settings.store))
