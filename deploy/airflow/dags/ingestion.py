"""The DAG `ingestion`: scrape → clean → store → version."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, PokeReturnValue, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

import house


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args=house.DEFAULTS,
    on_failure_callback=house.tell_failure,
    tags=["trending"],
    params={
        "schedules": Param(
            [],
            type="array",
            items={"type": "string", "pattern": "^[^/]+/[^/]+$"},
            description="`source/schedule` of the source catalogue; all of those that the scraper "
            "is told to ask, if empty",
        ),
        "parked_share": Param(
            0.05, type="number", minimum=0, maximum=1, description="of a job's pages, at most"
        ),
        "fail_on": Param(
            "error", enum=["error", "warning"], description="how bad a quality check may not be"
        ),
    },
    doc_md="""
Publishes the jobs of the source catalogue's schedules for the period that the logical date lies in,
waits until the house has done them, audits that every record has its row, and has a dataset cut.

A period's job has the id that the scrapers' own schedule gives it. A run that is repeated finds its
jobs and its dataset on the log, publishes nothing, and audits once more. Let the scrapers keep
their schedules, or set `SCRAPER_SCHEDULES=false` and leave the clock to Airflow.
""",
)
def ingestion() -> None:
    @task
    def scrape(params: dict[str, Any]) -> list[str]:
        """Publish the jobs; their ids."""
        when = house.moment(get_current_context())
        wanted = params["schedules"] or [
            f"{source['source']}/{name}"
            for source in house.trending("sources", "list")
            if source["asked"]
            for name in source["schedule"]
        ]
        if not wanted:
            raise AirflowFailException(
                "no source with a schedule is asked; name some in SCRAPER_SOURCES or `schedules`"
            )
        jobs = []
        for source, _, name in (each.partition("/") for each in wanted):
            publish = ("jobs", "publish", source, "--schedule", name, "--period", when)
            jobs.append(house.trending(*publish)["job_id"])
        return jobs

    @task.sensor(**house.WAITING)
    def clean(jobs: list[str], params: dict[str, Any]) -> PokeReturnValue:
        """Wait until every page has come to its end, and every record is clean or rejected."""
        told = [house.trending("jobs", "status", job, answers=(0, 1)) for job in jobs]
        for each in told:
            if each["counts"]["parked"] > params["parked_share"] * each["counts"]["pages"]:
                raise AirflowFailException(
                    f"too much of {each['job_id']} is parked; see `trending dlq list`"
                )
        return PokeReturnValue(all(each["done"] for each in told), xcom_value=jobs)

    @task
    def store(jobs: list[str], params: dict[str, Any]) -> list[str]:
        """Audit that each record of the jobs is a row or a reject, and how good all records are.

        That titles are other than before ends no run: data that drifts has to become a dataset,
        for a model to learn from.
        """
        for job in jobs:
            if not house.trending("jobs", "check", job, answers=(0, 1))["sound"]:
                raise AirflowException(f"records of {job} have no row; see `trending jobs check`")
        fail_on = params["fail_on"]
        report = house.trending("quality", "report", "--fail-on", fail_on, answers=(0, 1))
        bad = [
            check["said"]
            for check in report["checks"]
            if check["severity"] in (("error",) if fail_on == "error" else ("error", "warning"))
            and not check["name"].startswith("drift ")
        ]
        if bad:
            raise AirflowFailException("; ".join(bad))
        return jobs

    @task.sensor(**house.WAITING)
    def version(jobs: list[str]) -> PokeReturnValue:
        """Have a dataset cut, and wait for it; its id and the hash of its manifest."""
        context = get_current_context()
        reason = f"ingestion of {house.moment(context)}: {len(jobs)} jobs"
        told = house.trending(
            *("datasets", "cut", "--no-wait", "--reason", reason),
            *("--id", house.request_id(context)),
            answers=(0, 1),
        )
        if told["parked"]:
            raise AirflowFailException(f"the featurizer parked the request: {told['parked']}")
        if (dataset := told["dataset_id"]) is None:
            return PokeReturnValue(False)
        manifest = house.trending("datasets", "show", dataset)
        return PokeReturnValue(True, xcom_value=[dataset, manifest["manifest_sha256"]])

    version(store(clean(scrape())))


ingestion()
