"""Both DAGs by Airflow itself, on a house of their own: two days, and each of them once more."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from trending_cli.house import House, running_house
from trending_cli.ports import HOST, free_ports
from trending_shared.events import (
    DatasetPublished,
    DatasetRequested,
    Event,
    FeaturesComputed,
    ModelRegistered,
    PageFetched,
    RecordRejected,
    RetrainingDecided,
    RetrainingRequested,
    ReviewCleaned,
    ReviewScraped,
    ScrapeJob,
    TitleCleaned,
    TitleScraped,
    TrainingRequested,
)
from trending_shared.tables import read_table

ROOT = Path(__file__).parents[2]
AIRFLOW = ROOT / "deploy" / "airflow"
TRENDING = Path(sys.executable).with_name("trending")
DAYS = ("2026-01-02", "2026-01-03")
TABLES = ("titles", "reviews", "rejects", "features")
FOLLOWS: tuple[type[Event], ...] = (  # from what a DAG asks for; the rest comes by the clock
    *(ScrapeJob, PageFetched, TitleScraped, ReviewScraped, TitleCleaned, ReviewCleaned),
    *(RecordRejected, FeaturesComputed, DatasetRequested, DatasetPublished),
    *(RetrainingRequested, RetrainingDecided, TrainingRequested, ModelRegistered),
)

pytestmark = [pytest.mark.airflow, pytest.mark.connected, pytest.mark.timeout(7200)]


@dataclass(frozen=True)
class Run:
    """What came of one run: each task's state, and what it left for others."""

    states: Mapping[str, str]
    left: Mapping[str, Any]


@dataclass
class Seen:
    """All runs by day, DAG and round, and what the house held after each round."""

    runs: dict[tuple[str, str, int], Run] = field(default_factory=dict)
    held: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Airflow:
    """Airflow in an environment and a home of its own, beside a house."""

    home: Path
    env: Mapping[str, str]

    @classmethod
    def at(cls, home: Path, env: Mapping[str, str]) -> "Airflow":
        """One with an empty database, told besides what it needs itself."""
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "TRENDING_LOOK_SECONDS": "2",
        }
        airflow = cls(home, {**os.environ, **own, **env})
        airflow("db", "migrate")
        return airflow

    def __call__(self, *arguments: str, fails: bool = False) -> None:
        done = subprocess.run(
            [AIRFLOW / ".venv" / "bin" / "airflow", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"

    def run(self, dag: str, day: str, params: Mapping[str, Any], *, fails: bool = False) -> Run:
        self("dags", "test", dag, day, "--conf", json.dumps(params), fails=fails)
        newest = (
            "SELECT run_id FROM dag_run WHERE dag_id = ? AND logical_date LIKE ? "
            "ORDER BY id DESC LIMIT 1"
        )
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            [run] = database.execute(newest, (dag, f"{day}%")).fetchone()
            of_run = "WHERE dag_id = ? AND run_id = ?"
            states = database.execute(
                f"SELECT task_id, state FROM task_instance {of_run}", (dag, run)
            )
            left = database.execute(
                f"SELECT task_id, value FROM xcom {of_run} AND key = 'return_value'", (dag, run)
            )
            return Run(dict(states.fetchall()), {task: read(value) for task, value in left})


def read(value: Any) -> Any:
    """What a task returned, as the database has it: JSON, maybe twice."""
    while isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except ValueError:
            break
    return value


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("house")
    [site] = free_ports(1)
    daily = {"every": "P1D", "url": f"http://{HOST}:{site}/titles?page=1"}
    catalogue = yaml.safe_load((ROOT / "shared/trending_shared/sources.yaml").read_text())
    (folder / "sources.yaml").write_text(
        yaml.safe_dump({"demo": catalogue["demo"] | {"schedule": {"daily": daily}}})
    )
    env = {
        "SCRAPER_DEMO_URL": f"http://{HOST}:{site}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{site}",
        "SCRAPER_SCHEDULES": "false",
        "SOURCES_FILE": str(folder / "sources.yaml"),
        "FEATURIZER_SNAPSHOT_TITLES": "1000000000",  # only those that are asked for
        "MONITOR_RETRAIN_NEW_SHARE": "0.9",  # so that a second training is Airflow's wish alone
        "MONITOR_RETRAIN_COOL_DOWN": "PT0S",
    }
    with running_house(folder / "home", env=env) as house:
        child = house.stack.add_site(port=site, arguments=["--arrivals", "right"])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"})
        airflow = Airflow.at(
            folder / "airflow",
            {
                **env,
                "TRENDING_HOME": str(house.home),
                "KAFKA_BOOTSTRAP_SERVERS": house.bootstrap,
                "AIRFLOW_VAR_TRENDING_COMMAND": str(TRENDING),
            },
        )
        found = Seen()
        for again in range(2):
            for day in DAYS:
                # On the second day the site has more titles, and any champion is too old.
                if day == DAYS[1] and not again and child.pid:
                    os.kill(child.pid, signal.SIGUSR1)
                schedules = {"schedules": ["demo/daily"]}
                found.runs["ingestion", day, again] = airflow.run("ingestion", day, schedules)
                oldest = {"oldest": 0 if day == DAYS[1] else 30}
                found.runs["training", day, again] = airflow.run("training", day, oldest)
            found.held.append(held(house))
        yield found


def held(house: House) -> dict[str, int]:
    """How many events there are by topic, and how many rows by table."""
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": house.bootstrap}
    listed = subprocess.run(
        [TRENDING, "topics", "list", "--json"], env=env, capture_output=True, check=True
    )
    topics = {event.topic for event in FOLLOWS}
    counts = {
        each["topic"]: int(each["records"])
        for each in json.loads(listed.stdout)
        if each["topic"] in topics
    }
    for table in TABLES:
        found = read_table(house.settings.store, table, ["event_id"])
        counts[f"table {table}"] = found[0].num_rows if found else 0
    return counts


def test_a_day_is_scraped_cleaned_stored_and_versioned(seen: Seen) -> None:
    for day in DAYS:
        run = seen.runs["ingestion", day, 0]
        assert run.states == dict.fromkeys(("scrape", "clean", "store", "version"), "success")
    first, second = (seen.runs["ingestion", day, 0].left for day in DAYS)
    assert first["scrape"] != second["scrape"]
    assert first["version"][0] != second["version"][0], "the site had more titles on the second day"


def test_the_monitors_own_training_is_followed_and_another_one_asked_for(seen: Seen) -> None:
    tasks = ("load", "features", "retraining", "train", "evaluate", "register")
    for day in DAYS:
        assert seen.runs["training", day, 0].states == dict.fromkeys(tasks, "success")
    first, second = (seen.runs["training", day, 0].left for day in DAYS)
    assert first["register"][0] == "documents-written", "of the alias champion"
    assert second["retraining"][0].startswith("the champion is 0 days old")
    assert first["train"] != second["train"]
    assert set(first["evaluate"]).isdisjoint(second["evaluate"])
    assert second["register"][1] in second["evaluate"]


def test_a_day_that_is_run_again_adds_nothing(seen: Seen) -> None:
    first, second = seen.held
    assert second == first
    assert first["scrape-jobs"] > 0
    assert first["table titles"] > 0
    for day in DAYS:
        again = seen.runs["ingestion", day, 1]
        assert again.left == seen.runs["ingestion", day, 0].left
        assert set(seen.runs["training", day, 1].states.values()) == {"success"}
    once, twice = (seen.runs["training", DAYS[1], number].left for number in range(2))
    assert once["train"] == twice["train"]
    assert once["register"] == twice["register"]


# ---------------------------------------------------------------- ways that a training may go

DECISION = {
    "decision_id": "d1",
    "dataset_id": "x1",
    "decided_at": "2026-11-27T07:10:02Z",
    "retrain": True,
    "reasons": ["there is no champion yet"],
    "training_id": "t1",
    "outcome": "refused",
}
MODEL = {
    "version": "v2",
    "algorithm": "blend",
    "training_id": "t1",
    "metrics": {"macro_f1": 0.7},
    "created_at": "2026-11-27T07:20:00Z",
}
ANSWERS: dict[str, tuple[int, Any]] = {
    "retrain why": (0, {"decided": [DECISION], "now": {}}),
    "datasets show": (0, {"dataset_id": "x1"}),
    "features check": (0, {"sound": True}),
    "models list": (0, {"champion": "v1", "versions": [MODEL]}),
    "audit list": (
        0,
        [
            {
                "kind": "models-refused",
                "subject": "genres",
                "reasons": ["not surely better"],
                "details": {"model_version": "v2"},
            }
        ],
    ),
    "audit verify": (0, {"intact": True}),
}
PERSON, NO = {"retrain": True, "reasons": ["a person"]}, {"retrain": False, "reasons": ["too few"]}


@pytest.mark.parametrize(
    ("day", "changes", "states"),
    [
        ("2026-02-01", {}, ("success",) * 3),
        (
            "2026-02-02",  # nobody but a person would train: there is no reason
            {"retrain why": (0, {"decided": [], "now": {"person": PERSON, "new-data": NO}})},
            ("skipped",) * 3,
        ),
        (
            "2026-02-03",  # there is one, and the monitor says no all the same
            {
                "retrain why": (0, {"decided": [], "now": {"new-data": PERSON}}),
                "retrain now": (1, {"retrain": False, "reasons": ["cool-down"], "parked": None}),
            },
            ("skipped",) * 3,
        ),
        (
            "2026-02-04",
            {"retrain why": (0, {"decided": [DECISION | {"outcome": "failed"}], "now": {}})},
            ("success", "failed", "upstream_failed"),
        ),
        (
            "2026-02-05",
            {"audit verify": (1, {"intact": False, "problems": [{"number": 1, "what": "x"}]})},
            ("success", "success", "failed"),
        ),
    ],
    ids=["followed", "no reason", "a no", "failed", "log altered"],
)
def test_a_training_ends_where_it_has_to(
    answering: tuple[Airflow, Path],
    day: str,
    changes: Mapping[str, Any],
    states: tuple[str, str, str],
) -> None:
    airflow, answers = answering
    answers.write_text(json.dumps(ANSWERS | dict(changes)))
    run = airflow.run("training", day, {}, fails="failed" in states)
    assert tuple(run.states[task] for task in ("train", "evaluate", "register")) == states


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> tuple[Airflow, Path]:
    """An Airflow that asks a program which says what a file says."""
    folder = tmp_path_factory.mktemp("answering")
    command = f"{sys.executable} {Path(__file__).with_name('answers.py')}"
    env = {"AIRFLOW_VAR_TRENDING_COMMAND": command, "ANSWERS": str(folder / "answers.json")}
    airflow = Airflow.at(folder / "airflow", env)
    return airflow, folder / "answers.json"
