"""Other ways to write a fine-tuned network, and which one is taken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import onnx
import pytest
import torch
from transformers import BertConfig, BertModel

from trending_inference.predicting import decide as decide_in_gateway
from trending_inference.serving_model import load_model
from trending_shared.clock import SystemClock
from trending_shared.datasets import read_dataset
from trending_shared.encoder import locate_model
from trending_shared.evaluation import decide
from trending_shared.features import RECIPE
from trending_shared.genres import GENRES
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows
from trending_trainer.bert import export_bert, fit_bert
from trending_trainer.bundling import Ancestry, Made, in_eight_bits, make_bundle
from trending_trainer.distilling import distil
from trending_trainer.families import BERT
from trending_trainer.graphs import FORMER, Row, main, verdict
from trending_trainer.runs import Request, StoredWorkspace
from trending_trainer.training import Fitted, Ready, ready_alone
from trending_trainer.training_set import TrainingSet

RUN = UUID(int=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `comparing` leaves: a dataset, and a bundle of a network so small that seconds do."""
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("network")
    config = BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(home)
    (home / "tokenizer.json").write_bytes((locate_model() / "tokenizer.json").read_bytes())
    (home / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    quick = {"epochs": 6, "rate_epochs": 6, "learning_rate": 3e-3, "batch_size": 16}
    return {**BERT, "model": str(home), **quick}


@pytest.fixture(scope="module")
def ready(folder: Path, params: dict[str, Any]) -> tuple[Ready, Ancestry]:
    store = ObjectStore.at(folder.as_uri())
    dataset = cut_dataset(store, "one", some_rows(150))
    titles = TrainingSet.of(read_dataset(store, dataset))
    model = fit_bert(titles.seen, params, None, "all", StoredWorkspace(store, "work"))
    part, tokenizer = export_bert(model)
    said = model.log_odds(titles.seen.texts), model.log_odds(titles.unseen.texts)
    fitted = Fitted("bert", params, *said, part, tokenizer, seconds=1.0, peak_bytes=1)
    of = Ancestry(
        request=Request(run_id=RUN, correlation_id=RUN, reason="a test"),
        dataset=dataset,
        titles=titles,
        split="title",
        recipe=RECIPE,
        baselines={},
        left_out={},
        tuned={},
        code_version="0",
    )
    return ready_alone(fitted, titles), of


@pytest.fixture(scope="module")
def registered(folder: Path, ready: tuple[Ready, Ancestry]) -> tuple[Made, Made]:
    """The network as exported, and in eight bits."""
    whole, of = ready
    registry = ModelRegistry(ObjectStore.at(folder.as_uri()))
    both = []
    for one in (whole, in_eight_bits(whole, of.titles)):
        made = make_bundle(one, of, SystemClock())
        registry.register(made.graph, made.manifest, made.files)
        both.append(made)
    return both[0], both[1]


def test_the_twin_in_eight_bits_tells_how_it_differs(registered: tuple[Made, Made]) -> None:
    whole, small = (made.manifest for made in registered)
    assert (whole.algorithm, small.algorithm) == ("bert", "bert-int8")
    assert whole.parity["max_difference"] < 1e-5
    assert 1e-5 < small.parity["max_difference"] < 0.2
    assert small.missing() == ()
    assert small.thresholds == whole.thresholds
    assert small.version != whole.version


def test_the_gateway_says_of_it_what_the_trainer_measured(
    folder: Path, registered: tuple[Made, Made], ready: tuple[Ready, Ancestry]
) -> None:
    """Each text alone, as a caller asks; the trainer had them all answered at once."""
    small, titles = registered[1], ready[1].titles.unseen
    registry = ModelRegistry(ObjectStore.at(folder.as_uri()))
    loaded = load_model(registry, small.manifest.name, small.manifest.version)
    probabilities = np.concatenate([loaded.graph.predict([text]) for text in titles.texts])
    assert np.abs(probabilities - small.answers.probabilities).max() < 1e-5
    wanted = decide(small.answers.probabilities, small.manifest.thresholds)
    given = decide_in_gateway(loaded, probabilities)
    assert [set(one.genres) for one in given] == [
        {genre for genre, passed in zip(GENRES, row, strict=True) if passed} for row in wanted
    ]
    assert wanted.any()


def test_the_command_compares_all_ways(
    folder: Path,
    registered: tuple[Made, Made],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(folder), "--students", "2", "--json"]) == 0
    written = capsys.readouterr()
    told = json.loads(written.out)
    rows = {row["name"]: row for row in told["rows"]}
    exported = rows["fp32, as exported"]
    assert exported["changed_answers"] == exported["difference"] == 0
    assert exported["macro_f1"] == pytest.approx(registered[0].manifest.metrics["macro_f1"])
    assert rows["static, ours"]["steady"]
    assert not rows["dynamic, a scale a matrix"]["steady"]
    assert rows["static, ours"]["megabytes"] < exported["megabytes"]
    assert rows["2 layers, fp32"]["megabytes"] < exported["megabytes"]
    assert rows["2 layers, fp32"]["taught"]
    assert FORMER in told["verdict"]
    assert "made: static, ours" in written.err


def test_a_folder_without_a_network_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert "no bundle of the family bert" in capsys.readouterr().err


def test_a_student_starts_where_its_teacher_is_and_comes_nearer(
    ready: tuple[Ready, Ancestry], params: dict[str, Any]
) -> None:
    ((fitted, _),), titles = ready[0].parts, ready[1].titles
    tokenizer = fitted.tokenizer or b""

    def student(layers: int, epochs: int) -> Any:
        told = {**params, "epochs": epochs}
        return distil(fitted.part, tokenizer, titles.seen, told, layers=layers)

    texts = titles.unseen.texts
    same = student(3, 0).log_odds(texts)
    assert np.abs(same - fitted.native).max() < 1e-4  # all layers: the teacher itself
    before, after = student(2, 0).log_odds(texts), student(2, 6).log_odds(texts)
    assert np.abs(after - fitted.native).mean() < np.abs(before - fitted.native).mean()
    part, _ = export_bert(student(2, 0))
    names = {one.name for one in onnx.load_from_string(part).graph.initializer}
    assert "encoder.layer.1.output.dense.weight" in names
    assert not any(name.startswith("encoder.layer.2.") for name in names)


def a_row(name: str, ms: float, **changes: Any) -> Row:
    fields: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__, 0.0) | {"taught": False}
    return Row(**(fields | {"name": name, "alone_ms": ms} | changes))


def test_the_fastest_that_is_as_good_and_steady_is_taken() -> None:
    rows = [
        a_row(FORMER, 8.0),
        a_row("depends on its batch", 1.0, batch_difference=0.01),
        a_row("worse", 2.0, difference=-0.02, difference_low=-0.03, difference_high=0.001),
        a_row("surely worse", 2.5, difference=-0.005, difference_low=-0.008, difference_high=-1e-3),
        a_row("good", 3.0, difference=-0.004, difference_low=-0.008, difference_high=0.001),
        a_row("slower", 5.0),
        a_row("another network", 0.5, taught=True),
    ]
    assert verdict(rows).startswith("the fastest that is as good and steady: good, 2.7 times")
    assert verdict(rows).endswith("at least twice")
    assert verdict([rows[0], rows[5]]).endswith("less than twice")
