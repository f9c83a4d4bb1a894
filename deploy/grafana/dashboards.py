"""The dashboards: `make dashboards` writes them as JSON, `--check` says whether they are as here.

A panel asks for what a recording rule has made ready where there is one. Everything that can be
asked about services is asked by `job`, which in `deploy/prometheus/prometheus.yml` is the service.
"""

import sys
from difflib import unified_diff
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from panels import Series, board, graph, number

FOLDER = Path(__file__).parent / "dashboards"
_RATE = "[$__rate_interval]"


def pipeline() -> Dashboard:
    return board(
        "pipeline",
        "pipeline",
        "The six services as consumers and producers of events: rate, errors, duration, lag.",
        [
            number(
                "Services",
                "1 for each process that answers Prometheus.",
                Series(
                    'up{job=~"scraper|cleaner|featurizer|trainer|inference|monitor"}', "{{job}}"
                ),
                unit="none",
                bad_below=1,
                runbook="ServiceDown",
            ),
            number(
                "Stuck consumers",
                "1 for a consumer that is halted, holds a partition, or makes no headway.",
                Series("max by (job) (trending_consumer_stuck)", "{{job}}"),
                unit="none",
                bad_from=1,
                runbook="ConsumerStuck",
            ),
            number(
                "Code",
                "Which version runs where; more than one of a service is a rollout under way.",
                Series(
                    "count by (service, version) (trending_build_info)", "{{service}} {{version}}"
                ),
                unit="none",
            ),
            graph(
                "Events handled",
                "By service and topic. Flat while events wait means that it stands.",
                Series(
                    "sum by (job, topic) "
                    f'(rate(trending_events_consumed_total{{outcome="handled"}}{_RATE}))',
                    "{{job}} {{topic}}",
                ),
                unit="cps",
            ),
            graph(
                "Events not handled",
                "Postponed: something is down. Parked: it can never work, and a person must look. "
                "Waiting and declined are everyday.",
                Series(
                    "sum by (job, outcome) "
                    f'(rate(trending_events_consumed_total{{outcome!="handled"}}{_RATE}))',
                    "{{job}} {{outcome}}",
                ),
                unit="cps",
                runbook="EventsParked",
            ),
            graph(
                "Time of a batch, p95",
                "What is slow shows here before the lag does.",
                Series(
                    "histogram_quantile(0.95, sum by (le, job, topic) "
                    f"(rate(trending_event_batch_seconds_bucket{_RATE})))",
                    "{{job}} {{topic}}",
                ),
                unit="s",
            ),
            graph(
                "Lag",
                "Records that wait, without those whose retry isn't due.",
                Series("job_topic:trending_consumer_lag:sum", "{{job}} {{topic}}"),
                unit="short",
                bad_from=1000,
                runbook="ConsumerFallsBehind",
            ),
            graph(
                "Age of events when handled, p95",
                "From publication to the end of handling. Five minutes are promised for 99 of 100.",
                Series(
                    "histogram_quantile(0.95, sum by (le, job, topic) "
                    f"(rate(trending_event_age_seconds_bucket{_RATE})))",
                    "{{job}} {{topic}}",
                ),
                unit="s",
                bad_from=300,
                runbook="SloBurnsFast",
            ),
            graph(
                "Since an event was handled",
                "Freshness. Old while records wait means that a service stands still.",
                Series(
                    "time() - max by (job, topic) (trending_event_last_handled_timestamp_seconds)",
                    "{{job}} {{topic}}",
                ),
                unit="s",
                runbook="ConsumerStuck",
            ),
            graph(
                "Events published",
                "By service and topic, as Kafka acknowledged them.",
                Series(
                    f"sum by (job, topic) (rate(trending_events_published_total{_RATE}))",
                    "{{job}} {{topic}}",
                ),
                unit="cps",
            ),
            graph(
                "Events that Kafka didn't take",
                "They are tried again; for long it means that Kafka is down.",
                Series(f"sum by (job) (rate(trending_events_unpublished_total{_RATE}))", "{{job}}"),
                unit="cps",
                runbook="KafkaRefuses",
            ),
            graph(
                "Pages by outcome",
                "Anything but scraped and unchanged is a page that couldn't be had or read.",
                Series(
                    f"sum by (source, outcome) (rate(trending_scraper_pages_total{_RATE}))",
                    "{{source}} {{outcome}}",
                ),
                unit="cps",
                runbook="SourceFails",
            ),
            graph(
                "Time a site took, and a page waited for its turn, p95",
                "A slow site may soon not answer; a long wait is the pace that a site asks for.",
                Series(
                    "histogram_quantile(0.95, sum by (le, source) "
                    f"(rate(trending_scraper_fetch_seconds_bucket{_RATE})))",
                    "{{source}} answered",
                ),
                Series(
                    "histogram_quantile(0.95, sum by (le, source) "
                    f"(rate(trending_scraper_wait_seconds_bucket{_RATE})))",
                    "{{source}} waited",
                ),
                unit="s",
            ),
            graph(
                "Records cleaned and rejected",
                "By record. A rise of a reason means that a source changed its pages.",
                Series(
                    f"sum by (record) (rate(trending_cleaner_cleaned_total{_RATE}))", "{{record}}"
                ),
                Series(
                    f"sum by (record, reason) (rate(trending_cleaner_rejected_total{_RATE}))",
                    "{{record}} {{reason}}",
                ),
                unit="cps",
            ),
            graph(
                "Titles with features",
                "And embeddings by origin: more computed than reused means that texts change.",
                Series(f"sum(rate(trending_featurizer_titles_total{_RATE}))", "titles"),
                Series(
                    f"sum by (origin) (rate(trending_featurizer_embeddings_total{_RATE}))",
                    "embeddings {{origin}}",
                ),
                unit="cps",
            ),
            graph(
                "Age of the trends' day",
                "Since the start of the last day whose trends are complete.",
                Series(
                    "time() - max(trending_featurizer_trends_day_timestamp_seconds > 0)", "trends"
                ),
                unit="s",
                bad_from=129_600,
                runbook="TrendsStale",
            ),
            graph(
                "Periods missed",
                "Recurring jobs that nobody published in time, in the last hour.",
                Series(
                    "sum by (source, schedule) "
                    "(increase(trending_scraper_missed_periods_total[1h]))",
                    "{{source}} {{schedule}}",
                ),
                unit="short",
                bad_from=1,
                runbook="PeriodsMissed",
            ),
            graph(
                "Memory",
                "Resident, by process.",
                Series("sum by (job, instance) (process_resident_memory_bytes)", "{{job}}"),
                unit="bytes",
            ),
            graph(
                "Processor",
                "Cores in use, by process.",
                Series(
                    f"sum by (job, instance) (rate(process_cpu_seconds_total{_RATE}))", "{{job}}"
                ),
                unit="none",
            ),
        ],
    )


def gateway() -> Dashboard:
    heard = 'route!~"/healthz|/readyz|/metrics|/static.*"'
    return board(
        "gateway",
        "gateway",
        "What callers get: rate, errors, duration, what is promised, and what is refused.",
        [
            number(
                "Gateways with a model",
                "0 for one that refuses every request for genres.",
                Series("min by (job, instance) (trending_inference_model_loaded)", "{{instance}}"),
                unit="none",
                bad_below=1,
                runbook="NoModel",
            ),
            number(
                "Burn rate of the last hour",
                "1 uses up exactly what may fail in a month; from 14.4 somebody is called.",
                Series("slo:bad:ratio_rate1h / on (slo) slo:budget:ratio", "{{slo}}"),
                unit="none",
                bad_from=14.4,
                runbook="SloBurnsFast",
            ),
            number(
                "Bad share of three days",
                "Of requests and events, against what is promised.",
                Series("slo:bad:ratio_rate3d", "{{slo}}"),
                Series("slo:budget:ratio", "{{slo}}: budget"),
                unit="percentunit",
                runbook="SloBurnsSlowly",
            ),
            graph(
                "Requests by route",
                "Without probes, metrics and static files.",
                Series(
                    f"sum by (route) (rate(trending_inference_requests_total{{{heard}}}{_RATE}))",
                    "{{route}}",
                ),
                unit="reqps",
            ),
            graph(
                "Requests by status",
                "4xx are the caller's, 5xx ours, 499 went away.",
                Series(
                    f"sum by (status) (rate(trending_inference_requests_total{{{heard}}}{_RATE}))",
                    "{{status}}",
                ),
                unit="reqps",
                runbook="SloBurnsFast",
            ),
            graph(
                "Time of a request, p99 by route",
                "From a request's head to the end of its answer.",
                Series(
                    "histogram_quantile(0.99, sum by (le, route) "
                    f"(rate(trending_inference_request_seconds_bucket{{{heard}}}{_RATE})))",
                    "{{route}}",
                ),
                unit="s",
                bad_from=1,
                runbook="GatewaySlow",
            ),
            graph(
                "Time of a request for genres",
                "99 of 100 are promised within 250 ms.",
                *(
                    Series(
                        f"histogram_quantile({share}, sum by (le) (rate("
                        f'trending_inference_request_seconds_bucket{{route="/v1/genres"}}{_RATE})))',
                        name,
                    )
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
                unit="s",
                bad_from=0.25,
                runbook="GatewaySlow",
            ),
            graph(
                "Time in the model, p95",
                "Of one run, which takes all texts that wait.",
                Series(
                    "histogram_quantile(0.95, sum by (le) "
                    f"(rate(trending_inference_model_seconds_bucket{_RATE})))",
                    "a run",
                ),
                unit="s",
            ),
            graph(
                "Texts",
                "All that got an answer, and those that had been asked before.",
                Series(f"sum(rate(trending_inference_texts_total{_RATE}))", "answered"),
                Series(f"sum(rate(trending_inference_known_texts_total{_RATE}))", "known"),
                unit="cps",
            ),
            graph(
                "Requests shed",
                "Refused because too many waited.",
                Series(f"sum(rate(trending_inference_shed_requests_total{_RATE}))", "shed"),
                unit="reqps",
                runbook="GatewaySheds",
            ),
            graph(
                "Predictions without a receipt",
                "Told, and not confirmed by Kafka in time.",
                Series(
                    f"sum(rate(trending_inference_unrecorded_predictions_total{_RATE}))",
                    "unrecorded",
                ),
                unit="cps",
                runbook="PredictionsUnrecorded",
            ),
            graph(
                "Models that went into service",
                "In an hour, the first one of each process included.",
                Series("sum(increase(trending_inference_model_swaps_total[1h]))", "swaps"),
                Series(
                    "sum by (reason) (increase(trending_inference_model_load_failures_total[1h]))",
                    "failed: {{reason}}",
                ),
                unit="short",
                runbook="VersionBroken",
            ),
        ],
    )


def model_quality() -> Dashboard:
    return board(
        "model-quality",
        "model quality",
        "What the model in service is, what it says, how sure it is, and what training made.",
        [
            number(
                "In service",
                "Alias, algorithm and version by gateway.",
                Series(
                    "max by (name, alias, algorithm, version) (trending_inference_model_info) > 0",
                    "{{alias}}: {{algorithm}} {{version}}",
                ),
                unit="none",
            ),
            number(
                "Age of the model",
                "Since it was made.",
                Series(
                    "time() - max(trending_inference_model_trained_timestamp_seconds > 0)", "age"
                ),
                unit="s",
                bad_from=2_592_000,
                runbook="ModelOld",
            ),
            number(
                "Macro-F1",
                "Of the last registered model by algorithm, on titles that it didn't learn from.",
                Series("max by (algorithm) (trending_trainer_macro_f1_ratio)", "{{algorithm}}"),
                unit="percentunit",
            ),
            graph(
                "Confidence",
                "Highest probability that a text got for any genre. A fall means unfamiliar texts.",
                *(
                    Series(
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(trending_inference_confidence_ratio_bucket{_RATE})))",
                        name,
                    )
                    for share, name in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90"))
                ),
                unit="percentunit",
                most=1,
                runbook="ModelUnsure",
            ),
            graph(
                "Texts without a genre",
                "Share for which no genre passed its threshold.",
                Series(
                    f"sum(rate(trending_inference_abstained_total{_RATE}))"
                    f" / sum(rate(trending_inference_texts_total{_RATE}))",
                    "abstained",
                ),
                unit="percentunit",
                bad_from=0.5,
                most=1,
                runbook="ModelUnsure",
            ),
            graph(
                "Genres given",
                "A shift between them means other texts, or another model.",
                Series(
                    f"sum by (genre) (rate(trending_inference_genres_total{_RATE}))", "{{genre}}"
                ),
                unit="cps",
            ),
            graph(
                "Macro-F1 of the last window",
                "By the model's own confidence, with its 95 % interval, and by labels.",
                Series(
                    "max by (bound) (trending_monitor_estimated_macro_f1_ratio)",
                    "estimated {{bound}}",
                ),
                Series(
                    "max by (labels) (trending_monitor_measured_macro_f1_ratio)",
                    "by {{labels}}",
                ),
                unit="percentunit",
                most=1,
                runbook="DriftSustained",
            ),
            graph(
                "Estimates and labels",
                "Comparisons in a week; one in twenty disagrees by chance. People correct what is "
                "wrong, so `feedback` disagrees more often.",
                Series(
                    "sum by (labels, verdict) (increase(trending_monitor_checks_total[7d]))",
                    "{{labels}}: {{verdict}}",
                ),
                unit="short",
                runbook="EstimatesWrong",
            ),
            graph(
                "Predictions corrected",
                "By people, in a day. A rise after a promotion doubts the new model.",
                Series("sum(increase(trending_monitor_corrections_total[1d]))", "corrections"),
                unit="short",
            ),
            graph(
                "Training runs",
                "Ended in a day, by outcome. Refused is normal and says why in `models-refused`.",
                Series(
                    "sum by (outcome) (increase(trending_trainer_runs_total[1d]))", "{{outcome}}"
                ),
                unit="short",
                runbook="TrainingFails",
            ),
            graph(
                "Time of a fit, p95 of a day",
                "Grows with the data.",
                Series(
                    "histogram_quantile(0.95, sum by (le) "
                    "(rate(trending_trainer_fit_seconds_bucket[1d])))",
                    "a fit",
                ),
                unit="s",
            ),
            graph(
                "Runs under way, and W&B behind",
                "Runs that are claimed and not yet published; 1 while the mirror lacks something.",
                Series("sum(trending_trainer_open_runs)", "runs"),
                Series("max(trending_trainer_mirror_behind)", "behind"),
                unit="short",
                runbook="MirrorBehind",
            ),
        ],
    )


def llm() -> Dashboard:
    return board(
        "llm",
        "language model",
        "Calls, failures, time, tokens and cost, and what became of drafts.",
        [
            number(
                "Spent within a day",
                "Dollars by the prices set, and what a day may cost.",
                Series("sum(job:trending_inference_llm_cost_usd:increase1d)", "spent"),
                Series("max(trending_inference_llm_day_budget_usd)", "budget"),
                unit="currencyUSD",
                runbook="LlmBudgetLow",
            ),
            number(
                "Share of calls that fail",
                "In a quarter of an hour, retries included.",
                Series("job:trending_inference_llm_failed_calls:ratio_rate15m", "failed"),
                unit="percentunit",
                bad_from=0.5,
                runbook="LlmFails",
            ),
            number(
                "Texts withheld",
                "In a day: texts that give the language model orders.",
                Series(
                    "sum(increase(trending_inference_insight_texts_withheld_total[1d]))", "withheld"
                ),
                unit="short",
            ),
            graph(
                "Calls by outcome",
                "Retries included.",
                Series(
                    f"sum by (outcome) (rate(trending_inference_llm_calls_total{_RATE}))",
                    "{{outcome}}",
                ),
                unit="reqps",
                runbook="LlmFails",
            ),
            graph(
                "Time of a call",
                "Failed ones included; after 20 s nobody waits any more.",
                *(
                    Series(
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(trending_inference_llm_seconds_bucket{_RATE})))",
                        name,
                    )
                    for share, name in ((0.5, "p50"), (0.95, "p95"))
                ),
                unit="s",
                bad_from=20,
                runbook="LlmFails",
            ),
            graph(
                "Tokens",
                "As the language model's server counted them.",
                Series(
                    f"sum by (kind) (rate(trending_inference_llm_tokens_total{_RATE}))", "{{kind}}"
                ),
                unit="cps",
            ),
            graph(
                "Dollars an hour",
                "By the prices set; unknown usage at its bound.",
                Series("sum(increase(trending_inference_llm_cost_usd_total[1h]))", "cost"),
                unit="currencyUSD",
                runbook="LlmBudgetLow",
            ),
            graph(
                "Insights by outcome",
                "Degraded ones, by reason, mean that the language model isn't of use.",
                Series(
                    f"sum by (outcome, reason) (rate(trending_inference_insights_total{_RATE}))",
                    "{{outcome}} {{reason}}",
                ),
                unit="reqps",
                runbook="LlmFails",
            ),
            graph(
                "Parts of drafts dropped",
                "By reason: their evidence doesn't support them. A rise means a worse model or "
                "prompt, or pages that lead it astray.",
                Series(
                    "sum by (reason) "
                    f"(rate(trending_inference_insight_parts_dropped_total{_RATE}))",
                    "{{reason}}",
                ),
                unit="cps",
            ),
        ],
    )


def drift() -> Dashboard:
    return board(
        "drift",
        "drift",
        "Whether what is asked and answered still is what the model was tested on.",
        [
            number(
                "Features beyond the threshold",
                "In the last window.",
                Series(
                    "count(feature:trending_monitor_drift_score:max"
                    " > on (feature) feature:trending_monitor_drift_threshold:max) or vector(0)",
                    "drifted",
                ),
                unit="none",
                bad_from=1,
                runbook="Drift",
            ),
            number(
                "Since a window was measured",
                "Old while predictions come in means that the monitor is stuck.",
                Series(
                    "time() - max(trending_monitor_last_window_timestamp_seconds > 0)", "window"
                ),
                unit="s",
                runbook="DriftUnmeasured",
            ),
            number(
                "Predictions in a day",
                "On record at the monitor, by role.",
                Series(
                    "sum by (role) (increase(trending_monitor_predictions_total[1d]))", "{{role}}"
                ),
                unit="short",
            ),
            graph(
                "Drift by feature",
                "Population stability index of the last window, as a share of the feature's own "
                "threshold; from 1 on it drifted.",
                Series(
                    "feature:trending_monitor_drift_score:max"
                    " / on (feature) feature:trending_monitor_drift_threshold:max",
                    "{{feature}}",
                ),
                unit="none",
                bad_from=1,
                runbook="Drift",
            ),
            graph(
                "Windows in a row",
                "The champion's last ones that give the same cause to train anew.",
                Series("max by (trigger) (trending_monitor_windows_in_a_row)", "{{trigger}}"),
                unit="none",
                runbook="DriftSustained",
            ),
            graph(
                "Retraining decisions",
                "In a day, by what gave cause; `trending retrain why` has the reasons.",
                Series(
                    "sum by (trigger, decision)"
                    " (increase(trending_monitor_retraining_decisions_total[1d]))",
                    "{{trigger}}: {{decision}}",
                ),
                unit="short",
                runbook="DriftSustained",
            ),
            number(
                "Trainings left",
                "Of the budget, in its period.",
                Series("max(trending_monitor_retraining_budget_left)", "left"),
                unit="none",
                runbook="RetrainingBudgetSpent",
            ),
            number(
                "Since a training was decided",
                "The last one, and the one that nothing has come of yet.",
                Series(
                    "time() - max(trending_monitor_last_training_timestamp_seconds > 0)", "decided"
                ),
                Series(
                    "time() - max(trending_monitor_training_pending_timestamp_seconds > 0)",
                    "under way",
                ),
                unit="s",
                runbook="TrainingUnheardOf",
            ),
            graph(
                "Windows by verdict",
                "Measured in a day.",
                Series(
                    "sum by (verdict) (increase(trending_monitor_windows_total[1d]))", "{{verdict}}"
                ),
                unit="short",
                runbook="Drift",
            ),
            graph(
                "Predictions told and recorded",
                "The gateway's texts, and what the monitor has of them. Apart for long means that "
                "events get lost.",
                Series(f"sum(rate(trending_inference_texts_total{_RATE}))", "told"),
                Series(
                    f'sum(rate(trending_monitor_predictions_total{{role="served"}}{_RATE}))',
                    "recorded",
                ),
                unit="cps",
                runbook="PredictionsUnrecorded",
            ),
            graph(
                "Titles on the bus",
                "The supply that the models live on.",
                Series(f"sum(rate(trending_monitor_titles_total{_RATE}))", "titles"),
                unit="cps",
            ),
            graph(
                "Models promoted",
                "In a week. Many mean that the gate lets noise through.",
                Series("sum(increase(trending_monitor_promotions_total[7d]))", "promoted"),
                unit="short",
            ),
        ],
    )


def experiment() -> Dashboard:
    return board(
        "experiment",
        "experiments",
        "Which arm gets how much, what is asked in shadow, and what comes of it.",
        [
            number(
                "Broken versions",
                "1 for an alias or arm that points at what can't be served.",
                Series(
                    "max by (subject, target, role) (trending_inference_version_broken)",
                    "{{target}} {{role}}",
                ),
                unit="none",
                bad_from=1,
                runbook="VersionBroken",
            ),
            number(
                "Share of each arm",
                "Of the last hour's requests. Far from the weights: few units ask much.",
                Series(
                    "sum by (experiment, arm)"
                    " (increase(trending_inference_experiment_requests_total[1h]))"
                    " / on (experiment) group_left sum by (experiment)"
                    " (increase(trending_inference_experiment_requests_total[1h]))",
                    "{{experiment}} {{arm}}",
                ),
                unit="percentunit",
            ),
            number(
                "Fallbacks",
                "Requests in an hour that the champion answered for an arm that can't be served.",
                Series(
                    "sum by (experiment)"
                    " (increase(trending_inference_experiment_fallbacks_total[1h]))",
                    "{{experiment}}",
                ),
                unit="short",
                bad_from=1,
                runbook="VersionBroken",
            ),
            graph(
                "Requests by arm",
                "As they were drawn, fallbacks included.",
                Series(
                    "sum by (subject, experiment, arm)"
                    f" (rate(trending_inference_experiment_requests_total{_RATE}))",
                    "{{subject}} {{experiment}} {{arm}}",
                ),
                unit="reqps",
            ),
            graph(
                "Shadows by outcome",
                "Dropped ones met a busy gateway.",
                Series(
                    f"sum by (subject, outcome) (rate(trending_inference_shadows_total{_RATE}))",
                    "{{subject}} {{outcome}}",
                ),
                unit="reqps",
            ),
            graph(
                "Predictions recorded by role",
                "Served ones were told to somebody, shadows to nobody.",
                Series(
                    f"sum by (role) (rate(trending_monitor_predictions_total{_RATE}))", "{{role}}"
                ),
                unit="cps",
            ),
            graph(
                "Difference",
                "Mean score of the candidate less the control's, with bounds that hold at all "
                "times. A low one above 0 is what a promotion needs.",
                Series(
                    "max by (target, bound) (trending_monitor_experiment_difference_ratio)",
                    "{{target}} {{bound}}",
                ),
                unit="none",
                runbook="ExperimentRolledBack",
            ),
            graph(
                "Outcomes",
                "Of the last experiment that the monitor conducts. A flat line: no labels come.",
                Series(
                    "max by (subject, target) (trending_monitor_experiment_outcomes)",
                    "{{subject}} {{target}}",
                ),
                unit="short",
                runbook="ExperimentsUnjudged",
            ),
            graph(
                "Steps",
                "Experiments that were put into a phase in a day, and why.",
                Series(
                    "sum by (subject, phase, cause)"
                    " (increase(trending_monitor_experiment_steps_total[1d]))",
                    "{{subject}} {{phase}}: {{cause}}",
                ),
                unit="short",
                runbook="ExperimentRolledBack",
            ),
        ],
    )


ALL = (pipeline, gateway, model_quality, llm, drift, experiment)


def documents() -> dict[str, str]:
    """Every dashboard's JSON, by the name of its file."""
    built = [each().build() for each in ALL]
    encode = JSONEncoder(sort_keys=True, indent=1).encode
    return {f"{each.uid}.json": encode(each) + "\n" for each in built}


def main() -> None:
    wanted = documents()
    found = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    if "--check" not in sys.argv[1:]:
        for name in found.keys() - wanted.keys():
            (FOLDER / name).unlink()
        for name, text in wanted.items():
            (FOLDER / name).write_text(text)
        return
    for name in sorted(wanted.keys() | found.keys()):
        lines = (found.get(name, "").splitlines(), wanted.get(name, "").splitlines())
        sys.stdout.writelines(
            f"{line}\n" for line in unified_diff(*lines, name, "as the code says", lineterm="")
        )
    raise SystemExit(found != wanted)


if __name__ == "__main__":
    main()
