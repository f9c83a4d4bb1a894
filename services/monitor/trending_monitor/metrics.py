"""What the monitor counts."""

import math
from datetime import UTC, datetime, time
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from trending_monitor.quality import Quality
from trending_monitor.reports import INSIGHTS
from trending_monitor.retraining import Policy, State, budget_left
from trending_shared.events import DriftReported, RetrainingTrigger
from trending_shared.experiments import Subject
from trending_shared.standings import Standing


class MonitorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "trending_monitor_predictions_total",
            "Predictions recorded; stands still while the gateway serves when events get lost",
            ["role"],
            registry=registry,
        )
        self.corrections = Counter(
            "trending_monitor_corrections_total",
            "Predictions that people corrected; a rise after a promotion doubts the new model",
            registry=registry,
        )
        self.windows = Counter(
            "trending_monitor_windows_total",
            "Windows measured, by verdict; a rise of drifted asks for a look at the inputs",
            ["verdict"],
            registry=registry,
        )
        self.score = Gauge(
            "trending_monitor_drift_score",
            "Population stability index of the last window by feature; compare the threshold",
            ["feature"],
            registry=registry,
        )
        self.threshold = Gauge(
            "trending_monitor_drift_threshold",
            "From which score on a feature drifted, for windows of this size and this model",
            ["feature"],
            registry=registry,
        )
        self.last_window = Gauge(
            "trending_monitor_last_window_timestamp_seconds",
            "When a window was last measured; old while predictions come in means it is stuck",
            registry=registry,
        )
        self.estimates = Counter(
            "trending_monitor_estimates_total",
            "Windows whose F1 was estimated, or couldn't be: the log says why, quality_unknown",
            ["outcome"],
            registry=registry,
        )
        self.macro_f1 = Gauge(
            "trending_monitor_estimated_macro_f1_ratio",
            "Macro-F1 of the last window by the model's own confidence, and its 95 % interval; "
            "an interval below what the model had at its promotion means harder inputs",
            ["bound"],
            registry=registry,
        )
        self.genre_f1 = Gauge(
            "trending_monitor_estimated_f1_ratio",
            "F1 of a genre in the last window by the model's own confidence",
            ["genre"],
            registry=registry,
        )
        self.measured = Gauge(
            "trending_monitor_measured_macro_f1_ratio",
            "Macro-F1 by the labels of the window that last had news of them",
            ["labels"],
            registry=registry,
        )
        self.checks = Counter(
            "trending_monitor_checks_total",
            "Estimates compared with labels; more than one in twenty that disagrees means that "
            "the model's confidence can't be trusted any more: genres mean something else now",
            ["labels", "verdict"],
            registry=registry,
        )
        self.report_columns = Gauge(
            "trending_monitor_report_columns",
            "Columns of the last report by verdict; failed ones couldn't be compared, and the "
            "report says why",
            ["subject", "verdict"],
            registry=registry,
        )
        self.report_day = Gauge(
            "trending_monitor_report_day_timestamp_seconds",
            "The newest day that was reported on; older than two days means that reports fail",
            ["subject"],
            registry=registry,
        )
        self.audit_entries = Gauge(
            "trending_monitor_audit_entries",
            "Entries of the audit log, as far as this process has read it",
            registry=registry,
        )
        self.audit_problems = Gauge(
            "trending_monitor_audit_problems",
            "What was wrong with the audit log at the last look; above zero it was altered",
            registry=registry,
        )
        self.audit_checked = Gauge(
            "trending_monitor_audit_checked_timestamp_seconds",
            "When the audit log was last verified; older than two days means that nobody looks",
            registry=registry,
        )
        self.titles = Counter(
            "trending_monitor_titles_total",
            "Titles seen on the bus; the supply the models live on",
            registry=registry,
        )
        self.promotions = Counter(
            "trending_monitor_promotions_total",
            "Models promoted; many in a day mean that the gate lets noise through",
            registry=registry,
        )

        self.decisions = Counter(
            "trending_monitor_retraining_decisions_total",
            "Whether to train anew, by what gave cause; only no for days while windows drift means "
            "that something forbids it: trending retrain why",
            ["trigger", "decision"],
            registry=registry,
        )
        for trigger in get_args(RetrainingTrigger):
            for decision in ("yes", "no"):
                self.decisions.labels(trigger, decision)  # from 0, so that the first is a rise
        self.in_a_row = Gauge(
            "trending_monitor_windows_in_a_row",
            "The champion's last windows that all give the same cause to train anew; a rise that "
            "no training follows asks for a look at the decisions",
            ["trigger"],
            registry=registry,
        )
        self.budget_left = Gauge(
            "trending_monitor_retraining_budget_left",
            "Trainings that may still be decided in the budget's period; at 0 only a person trains",
            registry=registry,
        )
        self.last_training = Gauge(
            "trending_monitor_last_training_timestamp_seconds",
            "When a training was last decided; old while windows drift means that none helps",
            registry=registry,
        )
        self.pending_since = Gauge(
            "trending_monitor_training_pending_timestamp_seconds",
            "When the training was decided that hasn't come to an end, 0 if all have; hours ago "
            "means that trainer or featurizer is stuck",
            registry=registry,
        )
        self.steps = Counter(
            "trending_monitor_experiment_steps_total",
            "Experiments that were put into a phase, and why; refused by a guardrail means that a "
            "version was stopped that people may have got answers of",
            ["subject", "phase", "cause"],
            registry=registry,
        )
        for subject in get_args(Subject):  # from 0, so that the first is a rise
            self.steps.labels(subject, "refused", "guardrail")
        self.difference = Gauge(
            "trending_monitor_experiment_difference_ratio",
            "Mean score of the candidate less that of the control, and its bounds at any time; a "
            "low one above 0 is what a promotion needs",
            ["subject", "target", "bound"],
            registry=registry,
        )
        self.outcomes = Gauge(
            "trending_monitor_experiment_outcomes",
            "Outcomes of the last experiment; stands still while it runs when no labels come",
            ["subject", "target"],
            registry=registry,
        )
        self.last_look = Gauge(
            "trending_monitor_experiments_look_timestamp_seconds",
            "When all experiments were last looked at; old means that none is judged any more",
            registry=registry,
        )

    def show_retraining(self, state: State, policy: Policy) -> None:
        """Set the gauges of what decisions rest on."""
        self.budget_left.set(budget_left(state, policy))
        if state.decided:
            self.last_training.set(max(state.decided).timestamp())
        self.pending_since.set(state.pending.timestamp() if state.pending else 0)

    def show_experiment(self, standing: Standing) -> None:
        """Set the gauges of an experiment; one runs at a time with each target."""
        of = standing.subject, standing.target
        self.outcomes.labels(*of).set(standing.outcomes)
        last = standing.path[-1] if standing.path else None
        for bound in ("low", "difference", "high"):
            value = getattr(last, bound) if last else math.nan
            self.difference.labels(*of, bound).set(value)

    def show(self, quality: Quality) -> None:
        """Set the gauges of an estimate."""
        macro = quality.macro_f1
        bounds = {"low": macro.interval.low, "value": macro.value, "high": macro.interval.high}
        for bound, value in bounds.items():
            self.macro_f1.labels(bound).set(value)
        for genre, found in quality.genres.items():
            self.genre_f1.labels(genre).set(found.f1.value if found.f1 else math.nan)

    def show_report(self, report: DriftReported) -> None:
        """Set the gauges of a report.

        Models come and go, and so would series by version; the subject is `model` for all of them.
        """
        subject = INSIGHTS if report.subject == INSIGHTS else "model"
        verdicts = {
            "drifted": len(report.drifted),
            "steady": len(report.scores) - len(report.drifted),
            "failed": len(report.failed),
        }
        for verdict, count in verdicts.items():
            self.report_columns.labels(subject, verdict).set(count)
        day = datetime.combine(report.day, time(), UTC)
        self.report_day.labels(subject).set(day.timestamp())
