"""What is shown of models: the page of one, two beside each other, and all of a dataset."""

import hashlib
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from trending_cli.leaderboard import Leaderboard, rank
from trending_cli.model_comparison import ModelsComparison, compare_kept, read_evaluation
from trending_cli.model_pages import (
    write_comparison_page,
    write_leaderboard_page,
    write_model_page,
)
from trending_shared.datasets import DatasetFile, DatasetManifest, manifest_key, rows_key
from trending_shared.evaluation import UNKNOWN, Answers, Evaluation, compare, evaluate
from trending_shared.features import RECIPE
from trending_shared.genres import GENRES
from trending_shared.registry import CARD_HEADINGS, Manifest, ModelRegistry, hash_file
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


def registry_of(terminal: Any) -> ModelRegistry:
    return ModelRegistry(ObjectStore.at(terminal.settings.store))


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


# ---------------------------------------------------------------- two models


def npz(answers: Answers, first: int = 0, **changes: Any) -> bytes:
    """A bundle's answers of the titles from number `first` on."""
    slices = slices_of(len(answers))
    arrays = {
        "title_ids": np.array([f"t_{first + n:016x}" for n in range(len(answers))]),
        "labels": answers.labels,
        "probabilities": answers.probabilities,
        **{f"slice {name}": values.astype(str) for name, values in slices.items()},
        **changes,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def register(
    terminal: Any,
    answers: Answers,
    *,
    content: bytes | None = None,
    likely: float = 0.9,
    dataset_id: str = "0123456789abcdef",
    **changes: Any,
) -> Manifest:
    """A model with kept answers; another `likely` is another model."""
    files = {"answers.npz": npz(answers) if content is None else content}
    graph = a_graph(WORDS, likely=likely)
    fields = {"algorithm": f"words {likely}", "dataset_id": dataset_id} | changes
    manifest = a_model(answers, **fields).model_copy(
        update={
            "version": a_manifest(graph, labels=GENRES).version,
            "onnx_sha256": hashlib.sha256(graph).hexdigest(),
            "onnx_bytes": len(graph),
            "files": {name: hash_file(data) for name, data in files.items()},
        }
    )
    return registry_of(terminal).register(graph, manifest, files)


GOOD, BAD = some_answers(), some_answers(skill=1.0, seed=1)


def test_two_models_of_one_test_split_are_compared_on_it(offline: Any) -> None:
    good, bad = register(offline, GOOD), register(offline, BAD, likely=0.8)
    said = offline.run("models", "compare", good.version, bad.version).stdout
    assert f"words 0.9 {good.version} is surely better than words 0.8 {bad.version}" in said
    assert "the 240 titles that both were measured on" in said
    file = offline.home / "models" / f"{good.version}-{bad.version}.html"
    assert str(file) in said
    page = file.read_text(encoding="utf-8")
    assert_harmless(page)

    told = ModelsComparison.model_validate(
        offline.json("models", "compare", good.version, bad.version)
    )
    slices = slices_of(len(GOOD))
    assert told.comparison == compare(GOOD, BAD, slices)
    assert told.evaluations == {
        good.version: evaluate(GOOD, slices),
        bad.version: evaluate(BAD, slices),
    }
    assert (told.rows, told.better) == (240, good.version)
    drama = told.comparison.genres["Drama"]
    assert f"{drama.value:+.3f}" in page
    assert f"{drama.interval.low:+.3f} to {drama.interval.high:+.3f}" in page
    assert f"{drama.value:+.4f}" in said
    assert HOSTILE in said

    back = offline.json("models", "compare", bad.version, good.version)
    assert back["better"] == good.version
    assert back["verdict"] == told.verdict
    assert back["comparison"]["macro_f1"]["value"] == -told.comparison.macro_f1.value


def test_dots_and_whiskers_lie_around_zero(offline: Any) -> None:
    good, bad = register(offline, GOOD), register(offline, BAD, likely=0.8)
    found = compare_kept(registry_of(offline), good, bad)
    page = write_comparison_page(found, good, bad)
    macro = found.comparison.macro_f1
    [widest] = set(re.findall(r"<span>\+([\d.]+)</span>", page.split('id="genres"')[0]))
    place = 100 * (macro.value + float(widest)) / (2 * float(widest))
    assert f'<circle class="dot better" cx="{place:.2f}%"' in page
    assert '<line class="beside" x1="50.00%" x2="50.00%"' in page
    for evaluation in found.evaluations.values():
        assert f"<b>{evaluation.macro_f1:.3f}</b> macro-F1" in page
        for bin in evaluation.calibration.bins:
            assert f'cx="{52 + 420 * bin.said:.1f}" cy="{350 - 340 * bin.true:.1f}"' in page


def test_of_equals_nothing_can_be_said(offline: Any) -> None:
    one = register(offline, GOOD)
    registry_of(offline).move(
        "genres", one.version, expected=None, reasons=(), moved_by="test", at=one.created_at
    )
    other = register(offline, GOOD, likely=0.8)
    said = offline.run("models", "compare", "champion", other.version).stdout
    assert "Nothing can be said" in said
    assert "no slice differs surely" in said
    assert offline.json("models", "compare", "champion", other.version)["better"] is None
    said = offline.run("models", "compare", "champion", one.version, status=2).stderr
    assert "name two models" in said


def test_of_two_test_splits_the_common_titles_with_equal_labels_count(offline: Any) -> None:
    """Titles 40 to 239 are in both, in another order, and of two the labels were corrected."""
    order = np.random.default_rng(1).permutation(200)
    labels = np.vstack([GOOD.labels[40:], GOOD.labels[:40]])
    labels[:2, 5] = 1 - labels[:2, 5]
    said = np.vstack([BAD.probabilities[40:], BAD.probabilities[:40]])
    mixed = np.concatenate([order, np.arange(200, 240)])
    ids = np.array([f"t_{40 + n:016x}" for n in range(240)])
    content = npz(Answers(labels[mixed], said[mixed], HALVES), title_ids=ids[mixed])
    good, bad = register(offline, GOOD), register(offline, BAD, content=content, likely=0.8)
    told = ModelsComparison.model_validate(
        offline.json("models", "compare", good.version, bad.version)
    )
    common = slice(42, 240)
    ours, theirs = (
        Answers(each.labels[common], each.probabilities[common], HALVES) for each in (GOOD, BAD)
    )
    slices = {name: values[common] for name, values in slices_of(240).items()}
    assert told.comparison == compare(ours, theirs, slices)
    assert told.titles == (
        "198 titles that are in the test splits of both with the same labels, of 240 and 240"
    )


def test_too_few_common_titles_are_said_to_be_and_what_to_do(offline: Any) -> None:
    good = register(offline, GOOD)
    bad = register(offline, BAD, content=npz(BAD, first=200), likely=0.8)
    said = offline.run("models", "compare", good.version, bad.version, status=1).stderr
    assert "of 240 and 240; 50 are needed" in said
    assert "--dataset" in said
    assert good.dataset_id in said
    assert not (offline.home / "models").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no archive", "can't be read"),
        (npz(BAD)[:-300], "can't be read"),
        (npz(BAD, labels=BAD.labels[:9]), "aren't those of 240 titles"),
        (npz(BAD, labels=BAD.labels + 5), "labels must be"),
        (npz(BAD, probabilities=BAD.probabilities * np.nan), "within 0 and 1"),
        (npz(BAD, title_ids=np.array(["t"] * 240)), "once each"),
        (npz(BAD, title_ids=np.array([{}] * 240, object)), "allow_pickle"),
        (npz(BAD, 0, **{"slice kind": np.array(["film"])}), "slices by kind"),
    ],
)
def test_damaged_answers_are_said_to_be(offline: Any, content: bytes, why: str) -> None:
    good, bad = register(offline, GOOD), register(offline, BAD, content=content, likely=0.8)
    said = offline.run("models", "compare", good.version, bad.version, status=1).stderr
    assert f"{bad.version}: its answers.npz can't be read" in said
    assert why in said


def test_changed_or_missing_answers_are_not_found(offline: Any) -> None:
    good, bad = register(offline, GOOD), register(offline, BAD, likely=0.8)
    file = offline.home / "store" / "models" / "genres" / bad.version / "answers.npz"
    file.write_bytes(npz(GOOD))
    said = offline.run("models", "compare", good.version, bad.version, status=3).stderr
    assert "answers.npz was changed" in said
    file.unlink()
    said = offline.run("models", "compare", good.version, bad.version, status=3).stderr
    assert "has no answers.npz" in said


def a_dataset(terminal: Any, texts: Mapping[str, str], *, recipe: str = RECIPE) -> DatasetManifest:
    """A snapshot of these texts by title, under the id that models say they were trained on."""
    store = ObjectStore.at(terminal.settings.store)
    id = "0123456789abcdef"
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"title_id": list(texts), "text": list(texts.values())}), buffer)
    data = buffer.getvalue().to_pybytes()
    store.put(rows_key(id), data)
    file = DatasetFile(key=rows_key(id), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    manifest = DatasetManifest(
        dataset_id=id,
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        rows=len(texts),
        labelled=len(texts),
        reviews=0,
        columns={"title_id": "string", "text": "string"},
        recipe=recipe,
        tables={},
        files=(file,),
        sources={},
        licenses={},
        labels={},
        code_version="1",
        requested_by=UUID(int=1),
        correlation_id=UUID(int=1),
    )
    store.put(manifest_key(id), manifest.model_dump_json().encode())
    return manifest


def test_both_answer_the_test_split_of_a_dataset(offline: Any) -> None:
    """One graph says 0.9 of a genre whose word is in the text, and the other 0.4: not enough."""
    register(offline, GOOD, likely=0.7)  # trained on the dataset: its test split is known
    good = register(offline, BAD, content=b"", likely=0.9, dataset_id="another")
    bad = register(offline, BAD, content=b"", likely=0.4, dataset_id="another")
    texts = {
        f"t_{n:016x}": " ".join(
            WORDS[genre] for genre, is_of in zip(GENRES, row, strict=True) if is_of == 1
        )
        for n, row in enumerate(GOOD.labels)
    }
    compared = ("models", "compare", good.version, bad.version, "--dataset")
    assert "no dataset" in offline.run(*compared, "0123456789abcdef", status=3).stderr
    a_dataset(offline, texts)
    told = offline.json(*compared, "0123456789abcdef")
    assert told["titles"] == "the 240 titles of the test split of 0123456789abcdef, answered anew"
    assert told["better"] == good.version
    assert told["evaluations"][good.version]["micro_f1"] == 1.0
    assert told["evaluations"][bad.version]["micro_f1"] == 0.0

    said = offline.run(*compared, "fedcba9876543210", status=3).stderr
    assert "models train --dataset fedcba9876543210" in said
    a_dataset(offline, texts, recipe="another-1")
    assert "are by another-1" in offline.run(*compared, "0123456789abcdef", status=1).stderr


# ---------------------------------------------------------------- all models of a dataset

MIDDLING = some_answers(skill=1.9, seed=2)
LATER = datetime(2026, 11, 3, tzinfo=UTC)


def three_models(terminal: Any) -> tuple[Manifest, Manifest, Manifest]:
    """Registered worst first: a good one, one that may be as good, and a bad one."""
    bad = register(terminal, BAD, likely=0.8, algorithm=HOSTILE)
    middling = register(terminal, MIDDLING, likely=0.7, algorithm="words")
    return register(terminal, GOOD, algorithm="words"), middling, bad


def test_models_of_a_dataset_stand_best_first_and_say_what_is_sure(offline: Any) -> None:
    good, middling, bad = three_models(offline)
    registry = registry_of(offline)
    registry.move("genres", middling.version, expected=None, reasons=(), moved_by="test", at=LATER)
    board = Leaderboard.model_validate(offline.json("models", "leaderboard"))
    assert board == rank(registry, "genres")
    assert [each.version for each in board.standings] == [
        *(good.version, middling.version, bad.version)
    ]
    assert [each.champion for each in board.standings] == [False, True, False]
    assert [each.label for each in board.standings] == [
        *(f"words {good.version[:6]}", f"words {middling.version[:6]}", HOSTILE)
    ]
    assert [each.against_first for each in board.standings] == [
        *("", "can't be told", "surely worse")
    ]
    assert [each.to_first for each in board.standings] == [
        None,
        *(compare(each, GOOD, {}).macro_f1 for each in (MIDDLING, BAD)),
    ]
    assert [each.evaluation for each in board.standings] == [
        *map(read_evaluation, (good, middling, bad))
    ]
    assert board.baselines == {HOSTILE: 0.2321, "the most frequent genre": 0.0412}
    assert not board.surely_best
    assert board.verdict == (
        f"words {good.version[:6]} is first, with a macro-F1 of {good.metrics['macro_f1']:.3f}, "
        f"but whether it is better than words {middling.version[:6]} can't be told; it is surely "
        "better than the other one"
    )
    assert board.standings[0].cost.model_dump() == {
        "latency_seconds": 0.0123,
        "onnx_bytes": good.onnx_bytes,
        "fit_seconds": 12.3,
        "peak_bytes": 512_000_000,
    }


def test_the_leaderboard_is_printed_and_written(offline: Any) -> None:
    good, _, bad = three_models(offline)
    registry = registry_of(offline)
    registry.move("genres", bad.version, expected=None, reasons=(), moved_by="test", at=LATER)
    said = offline.run("models", "leaderboard").stdout
    board = rank(registry, "genres")
    file = offline.home / "models" / "0123456789abcdef-title.html"
    assert str(file) in said
    assert file.read_text(encoding="utf-8") == write_leaderboard_page(board)
    lines = said.splitlines()
    assert [bad.version in line for line in lines if "champion" in line] == [True]
    macro, worse = board.standings[2].evaluation, board.standings[2].to_first
    assert worse is not None
    for line in (
        (bad.version, f"{macro.macro_f1:.4f}", f"{macro.macro_f1_interval.low:.3f} to "),
        (f"{worse.value:+.4f}", f"{worse.interval.low:+.3f} to ", "surely worse"),
        ("the most frequent genre", "0.0412"),
        (f"{good.metrics['calibration']['ece']:.4f}", "12.30", "512"),
    ):
        assert any(all(word in found for word in line) for found in lines)
    assert board.verdict in said

    file.unlink()
    offline.json("models", "leaderboard")
    assert not file.exists()
    other = offline.home / "else" / "where.html"
    offline.json("models", "leaderboard", "--output", other)
    assert other.read_text(encoding="utf-8") == write_leaderboard_page(board)


def test_the_leaderboard_shows_what_was_measured_and_no_markup(offline: Any) -> None:
    three_models(offline)
    board = rank(registry_of(offline), "genres")
    page = write_leaderboard_page(board)
    assert_harmless(page)
    [heat] = re.findall('<table class="heat roomy">(.*?)</table>', page, re.DOTALL)
    rows = rows_of(heat)
    assert len(rows) == len(GENRES)  # one of no title is left out, and there is the head
    for genre, shown in rows.items():
        if genre == "genre":
            continue
        scores = [each.evaluation.genres[genre] for each in board.standings]
        assert shown == [[str(scores[0].support), *(f"{score.f1:.2f}" for score in scores)]]
    [highest] = re.findall('scope="row">Drama</th>.*?<b>([0-9.]+)</b>', heat, re.DOTALL)[:1]
    drama = max(each.evaluation.genres["Drama"].f1 for each in board.standings)
    assert highest == f"{drama:.2f}"
    assert "Of no title: Anime." in page
    [top] = re.findall(r"<span>([\d.]+)</span></div></td>", page)[:1]
    for each in board.standings:
        macro = each.evaluation.macro_f1
        assert f'cx="{100 * macro / float(top):.2f}%"' in page
        assert f"ECE {each.evaluation.calibration.ece:.4f}" in page
        for bin in each.evaluation.calibration.bins:
            assert f'cx="{52 + 420 * bin.said:.1f}" cy="{350 - 340 * bin.true:.1f}"' in page
        worst = min(each.evaluation.slices["kind"].values(), key=lambda slice: slice.macro_f1)
        assert f"{worst.macro_f1:.3f}" in page.split('id="slices"')[1]
    for once in ("0123456789abcdef", board.standings[0].training_id, "12.3 ms", "512 MB"):
        assert once in page


def test_a_model_is_plotted_by_its_time(offline: Any) -> None:
    three_models(offline)
    page = write_leaderboard_page(rank(registry_of(offline), "genres"))
    [plot] = re.findall('aria-label="Milliseconds a text.*?</svg>', page, re.DOTALL)
    assert plot.count("<circle") == 3
    assert "&lt;script&gt;alert(1)" in plot
    assert "12.3 and 0." in plot


def test_only_models_of_one_dataset_and_split_stand_beside_each_other(offline: Any) -> None:
    by_time = metrics_of(GOOD) | {"split": "time"}
    timed = register(offline, GOOD, metrics=by_time)
    titled = register(offline, GOOD, likely=0.8, created_at=LATER)
    other = register(offline, GOOD, likely=0.7, dataset_id="another")

    def shown(*options: str) -> list[str]:
        return [
            each["version"] for each in offline.json("models", "leaderboard", *options)["standings"]
        ]

    assert shown() == [titled.version]
    assert shown("--split", "time") == [timed.version]
    assert shown("--dataset", "another") == [other.version]
    said = offline.run("models", "leaderboard", "--dataset", "another", "--split", "time", status=3)
    assert "no model of genres of dataset another, split by time" in said.stderr
    assert "is the only model" in offline.run("models", "leaderboard").stdout


def test_what_cant_be_shown_or_compared_is_named(offline: Any) -> None:
    """One was measured by an older trainer, one on other titles, one has lost its answers."""
    registry = registry_of(offline)
    old = promote(registry, a_graph(likely=0.3))
    assert "lacks confusions" in offline.run("models", "leaderboard", status=1).stderr
    good = register(offline, GOOD)
    lost = register(offline, BAD, likely=0.8)
    few = register(offline, MIDDLING, content=npz(MIDDLING, first=200), likely=0.7)
    (offline.home / "store" / "models" / "genres" / lost.version / "answers.npz").unlink()
    board = rank(registry, "genres")
    assert [each.version for each in board.standings] == [good.version, few.version, lost.version]
    assert list(board.left_out) == [old.version]
    assert not board.surely_best
    said = offline.run("models", "leaderboard").stdout
    page = write_leaderboard_page(board)
    for told in (
        "words 0.7 is not compared: 0 titles are in the test splits of both with the same labels",
        f"words 0.8 is not compared: genres {lost.version} has no answers.npz",
        f"{old.version} is left out: the evaluation of genres {old.version} lacks confusions",
    ):
        assert told in said
        assert told.partition(": ")[2] in page


def test_a_leaderboard_of_models_that_tell_little_has_a_page_too(offline: Any) -> None:
    bare = evaluate(some_answers(20), {}, resamples=10).model_dump(mode="json")
    register(offline, some_answers(20), metrics=bare)
    board = rank(registry_of(offline), "genres")
    page = write_leaderboard_page(board)
    assert "Milliseconds a text" not in page
    assert "No slice has 50 titles." in page
    assert "the only model" in offline.run("models", "leaderboard").stdout


def test_without_any_model_there_is_no_leaderboard(offline: Any) -> None:
    assert "no model of genres" in offline.run("models", "leaderboard", status=3).stderr
