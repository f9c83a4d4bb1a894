"""The house with something to do, and a real Prometheus that looks on: does all of it answer?

One house for all tests here: a small site is scraped, cleaned and featurized, two models are
compared, a language model drafts, windows are measured.
"""

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from trending_cli.house import House, running_house
from trending_cli.jobs import publish_job
from trending_cli.ports import HOST, free_ports
from trending_cli.processes import SERVICES
from trending_inference.dashboards import read_dashboards
from trending_shared.events import ScrapeJob
from trending_shared.experiments import Arm, Experiments
from trending_shared.registry import ModelRegistry
from trending_shared.storage import ObjectStore
from trending_shared.testing.llm import FakeLlm, completes, refuses
from trending_shared.testing.models import a_graph, a_manifest, promote
from trending_shared.testing.queries import (
    Query,
    operands,
    panel_queries,
    problems,
    rule_queries,
)

pytestmark = [
    pytest.mark.connected,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="Prometheus isn't installed (Debian: apt-get install prometheus)",
    ),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
QUERIES = [
    *panel_queries(DEPLOY / "grafana" / "dashboards"),
    *rule_queries(DEPLOY / "prometheus" / "rules"),
]
# Series that there are only once something has happened which doesn't happen here. What asks for
# them is checked by name and label, in tests/contracts/test_alerts.py.
RARE = {
    "trending_cleaner_rejected_total": "a record that can't be used",
    "trending_inference_experiment_fallbacks_total": "an arm that can't be served",
    "trending_inference_model_load_failures_total": "a model that can't be loaded",
    "trending_inference_version_broken": "a version that can't be served",
    "trending_monitor_experiment_difference_ratio": "an experiment that the monitor conducts",
    "trending_monitor_experiment_outcomes": "an experiment that the monitor conducts",
    "trending_scraper_missed_periods_total": "a schedule, and a day without scrapers",
    "trending_trainer_macro_f1_ratio": "a training run, which takes a minute",
    "trending_monitor_checks_total": "labels of twenty predictions in a window",
    "trending_monitor_estimated_macro_f1_ratio": "a model that keeps its answers to fifty titles",
    "trending_monitor_last_training_timestamp_seconds": "a training that was decided",
    "trending_monitor_measured_macro_f1_ratio": "labels of twenty predictions in a window",
    "trending_monitor_training_pending_timestamp_seconds": "a training that is under way",
}
CSV = """\
show_id,type,title,director,cast,country,date_added,release_year,rating,duration,\
listed_in,description
s1,Movie,Dust,,,France,"June 2, 2021",2019,PG,90 min,"Dramas",A ghost crosses a desert of sand.
s2,Movie,Tide,,,Japan,"June 2, 2021",2020,PG,95 min,"Comedies",Two fishers laugh at a storm.
s3,TV Show,Vault,,,Spain,"June 2, 2021",2021,PG,2 Seasons,"Crime TV Shows",A heist goes on.
"""
DRAFT = {
    "genres": [],
    "claims": [
        {
            "kind": "story",
            "text": "A ghost haunts a family in an old mansion by the sea.",
            "evidence": [{"id": "s1", "quote": "haunts a family"}],
        },
        {"kind": "story", "text": "Nothing says so.", "evidence": []},
    ],
    "vibes": [],
}
PLOT = (
    "A ghost haunts a family in an old mansion by the sea, night after night. "
    "The daughter learns whose ghost it is, and what it wants of her and of the house."
)


@dataclass(frozen=True)
class Seen:
    """What was to be seen while the house ran."""

    expositions: Mapping[str, str]
    """Each service's own `/metrics`."""
    known: Mapping[str, frozenset[str]]
    """Label names of every series that Prometheus has, recorded ones included, by metric."""
    unanswered: Mapping[str, str]
    """What Prometheus said to expressions that it had no data for, by expression."""
    rules: Mapping[str, str]
    """The health of every rule, by name."""
    targets: Mapping[str, str]
    """The health of every target, by job."""
    pages: Mapping[str, str]
    """The gateway's own pages of the dashboards, by name."""
    left: list[int]
    """Prometheus' processes when the house was closed."""


def until(says: Callable[[], Any]) -> Any:
    """What is said first that isn't false; the test's own time limit ends the asking."""
    pause = threading.Event()
    while True:
        try:
            if said := says():
                return said
        except httpx.TransportError:
            pass
        pause.wait(0.2)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    async def run() -> Seen:
        async with FakeLlm(completes(DRAFT), refuses("no"), completes(DRAFT)) as llm:
            return await asyncio.to_thread(look, tmp_path_factory.mktemp("observed"), llm.url)

    return asyncio.run(run())


def look(folder: Path, llm: str) -> Seen:
    """Run the house, give it something to do, and note what Prometheus has of it."""
    [site] = free_ports(1)
    (folder / "titles.csv").write_text(CSV)
    env = {
        "SCRAPER_DEMO_URL": f"http://{HOST}:{site}",
        "SCRAPER_ALLOWED_PRIVATE_HOSTS": f"{HOST}:{site}",
        "MONITOR_WINDOW_SIZE": "20",
        "OPENAI_BASE_URL": llm,
    }
    second = timedelta(seconds=1)
    with running_house(folder / "home", env=env, observe_every=second) as house:
        house.stack.add_site(port=site, arguments=["--catalogue", str(folder / "titles.csv")])
        house.stack.start()
        house.stack.wait_until({"site": "/robots.txt"})
        compare_two_models(house)
        list_page = f"http://{HOST}:{site}/titles?page=1"
        asyncio.run(publish_job(house.settings, ScrapeJob(source="demo", url=list_page), uuid4()))
        ask_the_gateway(house)
        with httpx.Client(base_url=house.url("prometheus"), trust_env=False) as prometheus:
            unanswered = answers(prometheus)
            rules = api(prometheus, "rules")["groups"]
            targets = api(prometheus, "targets")["activeTargets"]
            found = Seen(
                expositions={
                    name: httpx.get(f"{house.url(name)}/metrics").text for name in SERVICES
                },
                known=series(prometheus),
                unanswered=unanswered,
                rules={rule["name"]: rule["health"] for each in rules for rule in each["rules"]},
                targets={each["labels"]["job"]: each["health"] for each in targets},
                pages={
                    name: httpx.get(f"{house.url('inference')}/operate/dashboards/{name}").text
                    for name in read_dashboards(DEPLOY / "grafana" / "dashboards")
                },
                left=[],
            )
        pid = house.stack.children["prometheus"].pid
    assert pid is not None
    found.left.extend([pid] if psutil.pid_exists(pid) else [])
    return found


def compare_two_models(house: House) -> None:
    store = ObjectStore.at(house.settings.store)
    models = ModelRegistry(store)
    promote(models, a_graph())
    graph = a_graph(likely=0.8)
    candidate = models.register(graph, a_manifest(graph))
    Experiments(store).change(
        "models",
        "genres",
        name="autumn",
        state="running",
        arms=(
            Arm(name="control", version="champion", weight=1),
            Arm(name="candidate", version=candidate.version, weight=1, shadow=1),
        ),
        expected=None,
        reasons=(),
        changed_by="test",
        at=datetime.now(UTC),
    )


def ask_the_gateway(house: House) -> None:
    """As callers do, until both arms have answered a hundred texts, and insights came each way."""
    with httpx.Client(base_url=house.url("inference"), timeout=20, trust_env=False) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        until(lambda: client.get("/v1/experiments").json()["items"][0]["arms"][1]["in_service"])
        for number in range(200):
            body = {"items": [{"text": f"A heist, and the ghost of number {number}."}]}
            answer = client.post("/v1/genres", json=body, headers={"X-Unit-Id": f"u{number}"})
            assert answer.status_code == 200
        for number in range(3):
            story = {"plot": f"{PLOT} It ends after {number} nights.", "name": "Mansion"}
            assert client.post("/v1/insights", json=story).status_code == 200
        assert client.get("/v1/trending").status_code == 200


def api(prometheus: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = prometheus.get(f"/api/v1/{path}", params=parameters).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def series(prometheus: httpx.Client) -> dict[str, frozenset[str]]:
    known: dict[str, frozenset[str]] = {}
    for labels in api(prometheus, "series", **{"match[]": '{__name__=~".+"}'}):
        name = labels.pop("__name__")
        known[name] = known.get(name, frozenset()) | labels.keys()
    return known


def asked(query: Query) -> list[str]:
    """What has to have data: a query, or what an alert compares."""
    return operands(query.expr) if query.alert else [query.expr]


def answers(prometheus: httpx.Client, patience: int = 25) -> dict[str, str]:
    """Ask until everything has data; what still hasn't after so many rounds, and what was said."""
    waiting = {expr: "" for query in QUERIES for expr in asked(query)}
    pause = threading.Event()
    for _ in range(patience):
        for expr in list(waiting):
            answer = prometheus.get("/api/v1/query", params={"query": expr}).json()
            if answer["status"] == "success" and answer["data"]["result"]:
                del waiting[expr]
            else:
                waiting[expr] = answer.get("error", "no data")
        if all(any(name in expr for name in RARE) for expr in waiting):
            break
        pause.wait(0.5)
    return waiting


def failing(queries: list[Query], seen: Seen) -> Iterator[str]:
    """Whose query has no data, and why it may be so; those for rare things may have none."""
    for query in queries:
        for expr in asked(query):
            said = seen.unanswered.get(expr)
            if said == "no data" and any(name in expr for name in RARE):
                continue
            if said:
                yield f"{query.where}: {said}: {expr}"
                yield from problems(query, seen.known)


def test_every_panel_and_rule_has_data(seen: Seen) -> None:
    assert list(failing(QUERIES, seen)) == []


def test_the_gateway_shows_the_same_panels_without_grafana(seen: Seen) -> None:
    for name, board in read_dashboards(DEPLOY / "grafana" / "dashboards").items():
        page = seen.pages[name]
        assert "doesn’t answer" not in page
        assert page.count("<section") == len(board.panels)
        empty = page.count("Nothing was measured")
        assert page.count("<polyline") + page.count('class="right"') > empty, name


def test_prometheus_has_all_services_and_can_evaluate_every_rule(seen: Seen) -> None:
    assert seen.targets == dict.fromkeys(SERVICES, "up")
    assert set(seen.rules.values()) == {"ok"}


def test_labels_are_where_queries_ask_for_them(seen: Seen) -> None:
    rare = [query for query in QUERIES if any(name in query.expr for name in RARE)]
    asked_for = [query for query in QUERIES if query not in rare]
    assert [problem for query in asked_for for problem in problems(query, seen.known)] == []


def test_a_metric_that_is_renamed_at_its_source_is_told_by_panel_and_alert(seen: Seen) -> None:
    known = dict(seen.known)
    known["trending_inference_refused_requests_total"] = known.pop(
        "trending_inference_shed_requests_total"
    )
    assert [
        problem
        for query in QUERIES
        for problem in problems(query, known)
        if not any(name in problem for name in RARE)
    ] == [
        "panel 'Requests shed' of trending-gateway asks for "
        "trending_inference_shed_requests_total, which nobody exports",
        "alert GatewaySheds asks for trending_inference_shed_requests_total, which nobody exports",
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_metrics_keep_to_prometheus_conventions(seen: Seen, service: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=seen.expositions[service],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_prometheus_ends_with_the_house(seen: Seen) -> None:
    assert seen.left == []
