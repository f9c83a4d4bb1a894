"""Features of a batch of titles, with an encoder that counts what it is asked."""

import numpy as np

from trending_featurizer.featurizing import FEATURES, featurize, titles_table
from trending_shared.features import RECIPE, STATISTICS, compose_text, text_hash
from trending_shared.testing import a_title_cleaned, delivered
from trending_shared.testing.encoding import HashEncoder


def test_each_title_gets_one_row_in_order() -> None:
    titles = [a_title_cleaned(title_id=f"t_{n}", plot=f"Plot number {n}.") for n in (2, 0, 1)]
    messages = [delivered(title, offset=n) for n, title in enumerate(titles)]
    encoder = HashEncoder()
    table = featurize(titles_table(messages), encoder.encode, "hash")
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
        assert row["statistics"] == STATISTICS
        assert row["page_hash"] == title.page.hash
        assert (row["plot_words"], row["plot_characters"]) == (3, len(title.plot))
        assert np.allclose(row["embedding"], encoder.encode([text])[0])


def test_the_whole_batch_gives_what_its_parts_give() -> None:
    messages = [delivered(a_title_cleaned(title_id=f"t_{n}", plot=f"Plot {n}.")) for n in range(6)]
    embed = HashEncoder().encode
    whole = featurize(titles_table(messages), embed, "hash")
    parts = [featurize(titles_table(part), embed, "hash") for part in (messages[:2], messages[2:])]
    assert whole.to_pylist() == [row for part in parts for row in part.to_pylist()]
