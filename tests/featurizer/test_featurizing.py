"""Features of a batch of titles, with an encoder that counts what it is asked."""

import numpy as np
from prometheus_client import CollectorRegistry

from trending_featurizer.embedding import Embedder
from trending_featurizer.featurizing import FEATURES, featurize, titles_table
from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.features import RECIPE, compose_text, text_hash
from trending_shared.testing import a_title_cleaned, delivered
from trending_shared.testing.encoding import HashEncoder


def an_embedder(encoder: HashEncoder, remember: int = 100) -> Embedder:
    return Embedder(
        lambda: encoder, remember=remember, metrics=FeaturizerMetrics(CollectorRegistry())
    )


def test_each_title_gets_one_row_in_order() -> None:
    titles = [a_title_cleaned(title_id=f"t_{n}", plot=f"Plot number {n}.") for n in (2, 0, 1)]
    messages = [delivered(title, offset=n) for n, title in enumerate(titles)]
    encoder = HashEncoder()
    table = featurize(titles_table(messages), an_embedder(encoder).embed, "hash")
    assert table.schema == FEATURES
    rows = table.to_pylist()
    assert [row["title_id"] for row in rows] == ["t_2", "t_0", "t_1"]
    assert [row["event_id"] for row in rows] == [str(message.id) for message in messages]
    for row, title in zip(rows, titles, strict=True):
        text = compose_text(
            name=title.name, plot=title.plot, kind=title.kind, countries=title.countries
        )
        assert row["text_hash"] == text_hash(text)
        assert (row["recipe"], row["encoder"]) == (RECIPE, "hash")
        assert row["page_hash"] == title.page.hash
        assert (row["plot_words"], row["plot_characters"]) == (3, len(title.plot))
        assert np.allclose(row["embedding"], encoder.encode([text])[0])


def test_the_whole_batch_gives_what_its_parts_give() -> None:
    messages = [delivered(a_title_cleaned(title_id=f"t_{n}", plot=f"Plot {n}.")) for n in range(6)]
    embed = an_embedder(HashEncoder()).embed
    whole = featurize(titles_table(messages), embed, "hash")
    parts = [featurize(titles_table(part), embed, "hash") for part in (messages[:2], messages[2:])]
    assert whole.to_pylist() == [row for part in parts for row in part.to_pylist()]


def test_a_text_is_encoded_once() -> None:
    encoder = HashEncoder()
    embedder = an_embedder(encoder)
    first = embedder.embed(["a", "b", "a"])
    again = embedder.embed(["b", "c", "a"])
    assert encoder.asked == ["a", "b", "c"]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(again[[2, 0]], first[[0, 1]])


def test_the_texts_used_last_are_remembered() -> None:
    encoder = HashEncoder()
    embedder = an_embedder(encoder, remember=2)
    for text in ("a", "b", "a", "c"):
        embedder.embed([text])
    embedder.embed(["a"])
    assert encoder.asked == ["a", "b", "c"]
    embedder.embed(["b"])
    assert encoder.asked == ["a", "b", "c", "b"]


def test_a_batch_larger_than_the_memory_is_answered_whole() -> None:
    texts = [str(n) for n in range(10)]
    embedded = an_embedder(HashEncoder(), remember=3).embed(texts)
    assert np.array_equal(embedded, HashEncoder().encode(texts))
