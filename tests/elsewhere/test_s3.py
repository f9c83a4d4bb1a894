"""The object store on a real S3 server: who is refused is told why, and a task's role is enough."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import pyarrow as pa
import pytest
from tests.conftest import GIVEN
from tests.s3_server import ServerUnavailable, is_built, s3_server

from trending_shared.errors import ObjectMissing, SettingInvalid, StoreUnavailable
from trending_shared.storage import ObjectStore, check_store
from trending_shared.tables import OffsetTable, read_table

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
NOBODY = "http://127.0.0.1:9"  # a port on which nothing listens
SCHEMA = pa.schema([pa.field("event_id", pa.string())])


@pytest.fixture(scope="session")
def server() -> Iterator[Mapping[str, str]]:
    if not is_built(GIVEN):
        pytest.skip("the S3 server isn't built yet: `make test-s3` does so once, with Go")
    environment = {name: value for name, value in GIVEN.items() if not name.startswith("AWS_")}
    try:
        with s3_server(environment) as variables:
            yield variables
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def url(server: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place on the server, and all variables set to reach it."""
    for name, value in server.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    # Who has no credentials asks the machine's own service for them, at an address of the network.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", NOBODY)
    return f"s3://{server['TEST_S3_BUCKET']}/{uuid4()}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ALLOW_HTTP": "false"}, "AWS_ALLOW_HTTP"),
    ],
)
def test_who_is_refused_is_told_which_variable_to_change(
    url: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], named: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid, match=f"^{named}: ") as told:
        ObjectStore.at(url).check()
    assert "\n" not in str(told.value)
    table = OffsetTable(url, "titles", schema=SCHEMA, owner="test")
    with pytest.raises(StoreUnavailable) as later:
        table.append([(None, {"event_id": "1"})])
    assert "\n" not in str(later.value)


def test_a_bucket_that_is_not_there_is_no_missing_object(url: str) -> None:
    nowhere = ObjectStore.at("s3://no-such-bucket/house")
    with pytest.raises(SettingInvalid, match=r"^STORE_URL: .*NoSuchBucket"):
        nowhere.check()
    with pytest.raises(StoreUnavailable):
        nowhere.get("a/b")
    with pytest.raises(StoreUnavailable):
        nowhere.put("a/b", b"1")
    with pytest.raises(ObjectMissing):
        ObjectStore.at(url).get("a/b")


async def test_a_start_ends_where_the_store_refuses_and_goes_on_where_it_is_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingInvalid, match=r"^STORE_URL: "):
        await check_store("s3://no-such-bucket/house")
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
    await check_store(url)


# ------------------------------------------------------------ credentials of a task


class TaskRole:
    """What hands out a task's credentials, as ECS does; they are over again in `lasting`."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.asked: list[str] = []
        self.lasting = timedelta(hours=1)
        role = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                role.asked.append(self.path)
                over = datetime.now(UTC) + role.lasting
                body = json.dumps(
                    {
                        "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
                        "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
                        "Token": "",
                        "Expiration": over.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    }
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def relative(self) -> str:
        """Where it is, seen from where ECS has it.

        Clients put this behind `http://169.254.170.2`, which so becomes a user's name.
        """
        return f"@127.0.0.1:{self.server.server_address[1]}/v2/credentials/a-task"


@pytest.fixture
def role(
    server: Mapping[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TaskRole]:
    found = TaskRole(server)
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", found.relative)
    thread = Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def test_the_role_of_a_task_opens_store_and_tables(role: TaskRole, url: str) -> None:
    store = ObjectStore.at(url)
    assert store.put_new("a/b", b"1")
    assert not store.put_new("a/b", b"2")
    asked = len(role.asked)
    assert asked > 0
    assert set(role.asked) == {"/v2/credentials/a-task"}
    store.get("a/b")
    assert len(role.asked) == asked  # good for an hour
    table = OffsetTable(url, "titles", schema=SCHEMA, owner="test")
    table.append([(None, {"event_id": "1"})])
    assert len(role.asked) > asked
    rows, _ = read_table(url, "titles") or (None, 0)
    assert rows is not None
    assert rows.num_rows == 1


def test_credentials_that_are_nearly_over_are_asked_for_anew(role: TaskRole, url: str) -> None:
    role.lasting = timedelta(seconds=30)
    store, table = ObjectStore.at(url), OffsetTable(url, "titles", schema=SCHEMA, owner="test")
    uses: list[Callable[[int], object]] = [
        lambda n: store.put("a", str(n).encode()),
        lambda n: table.append([(None, {"event_id": str(n)})]),
    ]
    for use in uses:
        use(0)
        asked = len(role.asked)
        for n in range(1, 1000):  # what was handed out a tenth of a second ago is used once more
            use(n)
            if len(role.asked) > asked:
                break
        else:
            pytest.fail("the same credentials were used to their end")
