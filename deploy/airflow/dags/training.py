"""The DAG `training`: load → features → retraining? → train → evaluate → register."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, PokeReturnValue, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

import house

VERDICTS = ("models-approved", "models-refused")
CHAMPION = "aliases/genres/champion"  # a promotion is the document that an alias is


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
        "oldest": Param(
            30, type="number", minimum=0, description="days after which a champion is too old"
        ),
    },
    doc_md="""
Looks whether there is a reason to train, has the monitor decide, waits for what the trainer and the
gate make of it, and audits that the audit log says so.

The monitor decides by itself, too: a training of the newest dataset that is under way or over is
followed and audited, and no second one is asked for. Without a reason the run ends early, with the
rest of its tasks skipped. A run that is repeated finds its decision, and asks for nothing.
""",
)
def training() -> None:
    @task
    def load() -> str:
        """The dataset to learn from: the one that this run was decided about, or the newest."""
        decision = decided(by=house.request_id(get_current_context()))
        if decision and decision["dataset_id"]:
            return str(decision["dataset_id"])
        return str(house.trending("datasets", "show", "newest")["dataset_id"])

    @task
    def features(dataset: str) -> str:
        """Audit that all titles have features, of the very texts that are to be learned from."""
        told = house.trending("features", "check", dataset, answers=(0, 1))
        if not told["sound"]:
            counts = {name: len(ids) for name, ids in told.items() if isinstance(ids, list) and ids}
            raise AirflowException(f"features of dataset {dataset} aren't sound: {counts}")
        return dataset

    @task.short_circuit
    def retraining(dataset: str, params: dict[str, Any]) -> list[str]:
        """Why to train, in words; nothing ends the run here."""
        if decision := decided(by=house.request_id(get_current_context()), about=dataset):
            return [f"decided at {decision['decided_at']}"]
        now = house.trending("retrain", "why", "--limit", 0)["now"]
        reasons = [
            reason
            for trigger, decision in now.items()
            if decision["retrain"] and trigger != "person"
            for reason in decision["reasons"]
        ]
        models = house.trending("models", "list")
        for each in models["versions"]:
            if each["version"] == models["champion"]:
                age = datetime.now(UTC) - datetime.fromisoformat(each["created_at"])
                if age > timedelta(days=params["oldest"]):
                    reasons.append(f"the champion is {age.days} days old")
        return reasons

    @task
    def train(dataset: str, reasons: list[str]) -> str:
        """The decision to train: the one there is, or the monitor's answer to our request."""
        id = house.request_id(get_current_context())
        decision = decided(by=id, about=dataset)
        if decision is None:
            ask = ("retrain", "now", "--id", id, "--reason", f"Airflow: {'; '.join(reasons)}")
            decision = house.trending(*ask, answers=(0, 1))
            if decision["parked"]:
                raise AirflowFailException(f"the monitor parked it: {decision['parked']}")
        if not decision["retrain"]:
            no = "; ".join(decision["reasons"])
            decision = decided(about=dataset)  # the monitor's own, which it had just begun with
            if decision is None:
                raise AirflowSkipException(f"the monitor says no: {no}")
        return str(decision["decision_id"])

    @task.sensor(**house.WAITING)
    def evaluate(decision_id: str) -> PokeReturnValue:
        """Wait until the training has come to an end; the models that it made."""
        decision = decided(by=decision_id)
        if decision is None or decision["outcome"] is None:
            return PokeReturnValue(False)
        if decision["outcome"] == "nothing-new":
            raise AirflowSkipException("the dataset that was cut holds nothing new")
        if decision["outcome"] == "failed":
            raise AirflowFailException(f"training {decision['training_id']} failed")
        made = [
            model
            for model in house.trending("models", "list")["versions"]
            if model["training_id"] == decision["training_id"]
        ]
        for model in made:
            score = model["metrics"]["macro_f1"]
            house.log.info("%s %s: macro-F1 %.4f", model["algorithm"], model["version"], score)
        return PokeReturnValue(True, xcom_value=[model["version"] for model in made])

    @task.sensor(**house.WAITING)
    def register(versions: list[str]) -> PokeReturnValue:
        """Wait until the audit log has a verdict on one of them, and is as it was written."""
        entries = house.trending("audit", "list", "--limit", 100_000)
        verdicts = [entry for entry in entries if verdict_on(entry) in versions]
        if not verdicts:
            return PokeReturnValue(False)
        told = house.trending("audit", "verify", answers=(0, 1))
        if not told["intact"]:
            raise AirflowFailException(f"the audit log was altered: {told['problems']}")
        for entry in verdicts:
            what = entry["kind"], entry["subject"], "; ".join(entry["reasons"])
            house.log.info("%s of %s: %s", *what)
        last = verdicts[-1]
        return PokeReturnValue(True, xcom_value=[last["kind"], verdict_on(last)])

    dataset = features(load())
    register(evaluate(train(dataset, retraining(dataset))))


def decided(*, by: str | None = None, about: str | None = None) -> Any:
    """The decision on an event, or else the last yes about a dataset; none if there is neither."""
    decisions = house.trending("retrain", "why", "--limit", 1000)["decided"]
    for decision in decisions:
        if decision["decision_id"] == by:
            return decision
    for decision in decisions:
        if about and decision["dataset_id"] == about and decision["retrain"]:
            return decision
    return None


def verdict_on(entry: dict[str, Any]) -> str | None:
    """The model that an entry of the audit log approves of, refuses or promotes, if it does."""
    told = entry["kind"] in VERDICTS
    if not told and entry["subject"] != CHAMPION:
        return None
    version: str | None = entry["details"].get("model_version" if told else "version")
    return version


training()
