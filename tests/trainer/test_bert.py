"""Fine-tuning: networks so small that seconds show what hours would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from trending_shared.genres import GENRES
from trending_shared.onnx_models import OnnxModel
from trending_shared.testing.datasets import FILLER, WORDS, some_rows
from trending_shared.testing.texts import hostile_texts
from trending_trainer.bert import BertModel as FineTuned
from trending_trainer.bert import export_bert, fit_bert, settle_bert
from trending_trainer.exporting import Calibration, assemble
from trending_trainer.families import BERT
from trending_trainer.quantising import quantise
from trending_trainer.training_set import TrainingSet

PLAIN = Calibration(np.ones(len(GENRES), np.float32), np.zeros(len(GENRES), np.float32))
HORROR = GENRES.index("Horror")
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL: dict[str, Any] = {**SIZE, "intermediate_size": 64, "vocab_size": 100}
torch.manual_seed(0)
NETWORKS: dict[str, PreTrainedModel] = {
    "bert": BertModel(BertConfig(**SMALL)),
    "distilbert": DistilBertModel(
        DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    ),
    "roberta": RobertaModel(RobertaConfig(**SMALL, max_position_embeddings=140, pad_token_id=1)),
}


class Memory:
    """A workspace that lasts as long as a test, and may be taken away in the middle."""

    def __init__(self, *, saves: int = 10_000) -> None:
        self.kept: dict[str, bytes] = {}
        self.saves = saves

    def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def save(self, name: str, content: bytes) -> None:
        self.kept[name] = content
        self.saves -= 1
        if not self.saves:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two would wait for each other longer than such a network takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks as Hugging Face keeps them, with one tokenizer of a hundred words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "film", "show", "title", *FILLER]
    words += [word for genre in WORDS.values() for word in genre]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A", None, [("[CLS]", 2)])
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    )
    home = tmp_path_factory.mktemp("networks")
    for name, network in NETWORKS.items():
        network.save_pretrained(home / name)
        fast.save_pretrained(home / name)
    return home


@pytest.fixture(scope="module")
def titles() -> TrainingSet:
    return TrainingSet.of(pa.Table.from_pylist(some_rows(120)))


def params(folder: Path, name: str = "bert", **changes: Any) -> dict[str, Any]:
    quick = {"model": str(folder / name), "epochs": 4, "rate_epochs": 4, "learning_rate": 3e-3}
    return {**BERT, **quick, "batch_size": 16} | changes


def fit(
    titles: TrainingSet, told: dict[str, Any], memory: Memory | None = None, *, judge: bool = False
) -> FineTuned:
    judged = titles.unseen if judge else None
    return fit_bert(titles.seen, told, judged, "here", memory or Memory())


def answers(model: FineTuned, texts: Any) -> Any:
    return model.log_odds(texts)


def test_it_learns_what_words_mean(folder: Path, titles: TrainingSet) -> None:
    model = fit(titles, params(folder, epochs=20, rate_epochs=20))
    said = model.log_odds(titles.unseen.texts)[:, HORROR]
    true = titles.unseen.labels[:, HORROR] == 1
    assert said[true].min() > np.median(said[~true])
    assert said[true].mean() - said[~true].mean() > 2


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_graph_says_what_the_network_says(folder: Path, titles: TrainingSet, name: str) -> None:
    model = fit(titles, params(folder, name, epochs=1))
    part, tokenizer = export_bert(model)
    ones = np.ones(len(GENRES), np.float32)
    graph = OnnxModel.load(assemble([(part, ones)], PLAIN, name="bert"), GENRES, tokenizer)
    texts = [*titles.texts, "ghost " * 500, "千と千尋", *hostile_texts(1000)]
    said = graph.predict(texts)
    assert np.abs(said - PLAIN(model.log_odds(texts))).max() < 1e-5
    assert np.abs(said - np.concatenate([graph.predict([text]) for text in texts])).max() < 1e-5
    assert said.std(axis=0).max() > 0  # it tells texts apart


def test_in_eight_bits_a_network_says_nearly_the_same_alone_and_in_company(
    folder: Path, titles: TrainingSet
) -> None:
    model = fit(titles, params(folder, epochs=20, rate_epochs=20))
    part, tokenizer = export_bert(model)
    texts = list(titles.texts)
    small = quantise(part, tokenizer, texts)
    assert len(small) < len(part)
    assert quantise(part, tokenizer, texts) == small
    ones = np.ones(len(GENRES), np.float32)
    graph = OnnxModel.load(assemble([(small, ones)], PLAIN, name="bert"), GENRES, tokenizer)
    said, wanted = graph.predict(texts), PLAIN(model.log_odds(texts))
    assert 0 < np.abs(said - wanted).max() < 0.1
    assert ((said >= 0.5) == (wanted >= 0.5)).mean() > 0.995
    alone = np.concatenate([graph.predict([text]) for text in texts])
    assert np.abs(said - alone).max() < 1e-5


def test_the_same_seed_gives_the_same_network_and_another_another(
    folder: Path, titles: TrainingSet
) -> None:
    told = params(folder, epochs=2)
    texts = titles.unseen.texts
    first, again = answers(fit(titles, told), texts), answers(fit(titles, told), texts)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, answers(fit(titles, told | {"seed": 1}), texts))


@pytest.mark.parametrize("judge", [False, True])
def test_a_killed_fit_goes_on_and_ends_with_the_same_weights(
    folder: Path, titles: TrainingSet, judge: bool
) -> None:
    told = params(folder)
    whole = fit(titles, told, judge=judge)
    memory = Memory(saves=2)
    with pytest.raises(KeyboardInterrupt):
        fit(titles, told, memory, judge=judge)
    resumed = fit(titles, told, memory, judge=judge)
    assert resumed.best_epochs == whole.best_epochs
    texts = titles.texts
    assert np.array_equal(answers(resumed, texts), answers(whole, texts))


def test_a_fit_that_gets_no_better_stops_and_goes_back_to_its_best(
    folder: Path, titles: TrainingSet
) -> None:
    """A learning rate that breaks the network from the second epoch on."""
    told = params(folder, epochs=8, rate_epochs=8, learning_rate=1.0, warm_up=0.3, patience=2)
    memory = Memory()
    model = fit(titles, told, memory, judge=True)
    assert model.best_epochs < 8
    best = fit(titles, told | {"epochs": model.best_epochs}, judge=True)
    assert np.array_equal(answers(model, titles.texts), answers(best, titles.texts))


def test_the_last_fit_takes_as_many_epochs_as_the_folds_best(
    folder: Path, titles: TrainingSet
) -> None:
    model = fit(titles, params(folder, epochs=1))
    models = [type(model)(model.network, model.tokenizer, epochs) for epochs in (2, 4, 3)]
    assert settle_bert({"epochs": 8, "rate_epochs": 8}, models) == {"epochs": 3, "rate_epochs": 8}


def test_a_sample_is_the_same_every_time(folder: Path, titles: TrainingSet) -> None:
    told = params(folder, epochs=1, most_titles=30)
    texts = titles.texts
    first = answers(fit(titles, told), texts)
    assert np.array_equal(first, answers(fit(titles, told), texts))
    assert not np.array_equal(first, answers(fit(titles, params(folder, epochs=1)), texts))


def test_the_installed_encoder_is_what_is_fine_tuned_by_default(titles: TrainingSet) -> None:
    few = titles.where(np.arange(len(titles)) < 40)
    model = fit_bert(few, {**BERT, "epochs": 1}, None, "here", Memory())
    part, tokenizer = export_bert(model)
    ones = np.ones(len(GENRES), np.float32)
    graph = OnnxModel.load(assemble([(part, ones)], PLAIN, name="bert"), GENRES, tokenizer)
    texts = [*few.texts[:8], "", "the haunted grave " * 100]
    assert np.abs(graph.predict(texts) - PLAIN(model.log_odds(texts))).max() < 1e-5
