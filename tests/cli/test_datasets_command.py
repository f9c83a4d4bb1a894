"""`trending datasets`: what there is, and a new one, asked for once."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from trending_shared.datasets import manifest_key
from trending_shared.errors import Rejected
from trending_shared.events import DatasetPublished, DatasetRequested
from trending_shared.messages import Message, first_message
from trending_shared.storage import ObjectStore
from trending_shared.testing.datasets import cut_dataset, some_rows

pytestmark = pytest.mark.timeout(300)


def test_datasets_are_listed_and_the_newest_is_shown_with_its_hash(offline: Any) -> None:
    offline.run("datasets", "show", status=3)
    store = ObjectStore.at(offline.settings.store)
    for name, count in (("0123456789abcdef", 3), ("fedcba9876543210", 5)):
        cut_dataset(store, name, some_rows(count))
    listed = offline.json("datasets", "list")
    assert [(each["dataset_id"], each["rows"]) for each in listed] == [
        ("0123456789abcdef", 3),
        ("fedcba9876543210", 5),
    ]
    assert "0123456789abcdef" in offline.run("datasets", "list").stdout
    newest = offline.json("datasets", "show")
    assert newest["dataset_id"] == "fedcba9876543210"
    document = store.get(manifest_key("fedcba9876543210"))
    assert newest["manifest_sha256"] == hashlib.sha256(document).hexdigest()
    assert "0123456789abcdef" in offline.run("datasets", "show", "0123456789abcdef").stdout
    assert "no dataset 00" in offline.run("datasets", "show", "00", status=3).stderr


@pytest.mark.connected
def test_a_dataset_is_asked_for_and_waited_for(terminal: Any) -> None:
    asked: list[DatasetRequested] = []

    def cut(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        asked.extend(message.event for message in messages)
        return [message.leads_to(a_dataset()) for message in messages]

    with terminal.group("featurizer-cuts", DatasetRequested, cut):
        said = terminal.run("datasets", "cut", "--reason", "a whim").stdout
    assert "dataset 0123456789abcdef: 3 titles" in said
    assert "a whim" in [each.reason for each in asked]


@pytest.mark.connected
def test_a_request_that_was_made_already_is_only_followed(terminal: Any) -> None:
    request = first_message(DatasetRequested(reason="a whim"))
    terminal.publish(request, request.leads_to(a_dataset()))
    for options in ([], ["--no-wait"]):
        told = terminal.json("datasets", "cut", "--id", request.id, *options)
        assert not told["published"]
        assert told["dataset_id"] == "0123456789abcdef"
    id = uuid4()
    told = [terminal.json("datasets", "cut", "--no-wait", "--id", id) for _ in range(2)]
    assert [each["published"] for each in told] == [True, False]
    assert told[1]["dataset_id"] is None


@pytest.mark.connected
def test_a_request_that_nobody_can_answer_is_status_1(terminal: Any) -> None:
    def refuse(messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        raise Rejected("not today")

    with terminal.group("featurizer-refuses", DatasetRequested, refuse):
        assert "parked" in terminal.run("datasets", "cut", status=1).stdout


@pytest.mark.connected
def test_whoever_does_not_wait_is_told_the_request(terminal: Any) -> None:
    id = uuid4()
    assert str(id) in terminal.run("datasets", "cut", "--no-wait", "--id", id).stdout


def a_dataset() -> DatasetPublished:
    return DatasetPublished(
        dataset_id="0123456789abcdef",
        manifest_key=manifest_key("0123456789abcdef"),
        titles=3,
        labelled=3,
        recipe="name-plot-1",
        table_version=1,
    )
