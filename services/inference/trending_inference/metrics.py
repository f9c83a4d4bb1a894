"""What the gateway counts."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from trending_inference.workers import METRICS

# The edges that matter: 50 ms is fast for a person, 1 s is how long an answer may wait for Kafka.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# A language model takes seconds; 20 s is when we stop waiting for it.
_LLM_BUCKETS = (0.25, 0.5, 1, 2, 5, 10, 20, 30, 60)


class InferenceMetrics:
    """Every number of the gateway, over the app's own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "trending_inference_requests_total",
            "Requests answered; a rise of 5xx means callers go without an answer",
            ["route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "trending_inference_request_seconds",
            "Time from a request's head to the end of its answer; grows when requests queue",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.model_seconds = Histogram(
            "trending_inference_model_seconds",
            "Time the model took for one request's texts; grows with a heavier model",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.texts = Counter(
            "trending_inference_texts_total",
            "Texts that got an answer",
            registry=registry,
        )
        self.known = Counter(
            "trending_inference_known_texts_total",
            "Texts answered without the model, because it had been asked the same before",
            registry=registry,
        )
        self.genres = Counter(
            "trending_inference_genres_total",
            "Genres given to texts; a shift between them means other texts or another model",
            ["genre"],
            registry=registry,
        )
        self.abstained = Counter(
            "trending_inference_abstained_total",
            "Texts for which no genre passed its threshold; a rise means unfamiliar texts",
            registry=registry,
        )
        self.confidence = Histogram(
            "trending_inference_confidence_ratio",
            "Highest probability that a text got for any genre; a fall means unfamiliar texts",
            buckets=_SHARES,
            registry=registry,
        )
        self.unrecorded = Counter(
            "trending_inference_unrecorded_predictions_total",
            "Predictions answered without Kafka's receipt; the monitor doesn't see them",
            registry=registry,
        )
        self.shed = Counter(
            "trending_inference_shed_requests_total",
            "Requests refused because too many were waiting; a rise asks for more instances",
            registry=registry,
        )
        self.swaps = Counter(
            "trending_inference_model_swaps_total",
            "Models that went into service, the first one included",
            registry=registry,
        )
        self.load_failures = Counter(
            "trending_inference_model_load_failures_total",
            "Attempts to look up or load a model or prompt that failed; what is in service stays",
            ["reason"],
            registry=registry,
        )
        self.version_broken = Gauge(
            "trending_inference_version_broken",
            "1 while an alias or an arm of an experiment points at what can't be served; the log "
            "and /v1/models say why",
            ["subject", "target", "role"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.arms = Counter(
            "trending_inference_experiment_requests_total",
            "Requests by the arm that was drawn for them; shares far from the weights mean that "
            "few units ask much",
            ["subject", "experiment", "arm"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "trending_inference_experiment_fallbacks_total",
            "Requests that the champion answered because their arm couldn't be served",
            ["subject", "experiment"],
            registry=registry,
        )
        self.shadows = Counter(
            "trending_inference_shadows_total",
            "Requests that another version was asked as well; dropped ones met a busy gateway",
            ["subject", "outcome"],
            registry=registry,
        )
        self.model_info = Gauge(
            "trending_inference_model_info",
            "The model in service, as labels; the value is always 1",
            ["name", "version", "alias", "algorithm"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.model_trained = Gauge(
            "trending_inference_model_trained_timestamp_seconds",
            "When the model in service was made; an old one knows nothing of what is new",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.model_loaded = Gauge(
            "trending_inference_model_loaded",
            "1 while a model is in service; at 0 every prediction is refused",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.insights = Counter(
            "trending_inference_insights_total",
            "Insights told; degraded ones, by reason, mean the language model isn't of use",
            ["outcome", "reason"],
            registry=registry,
        )
        self.insight_parts_dropped = Counter(
            "trending_inference_insight_parts_dropped_total",
            "Parts of drafts that their evidence doesn't support; a rise means a worse model or "
            "prompt, or pages that lead it astray",
            ["reason"],
            registry=registry,
        )
        self.insight_texts_withheld = Counter(
            "trending_inference_insight_texts_withheld_total",
            "Texts kept from the language model because they give it orders",
            registry=registry,
        )
        self.llm_calls = Counter(
            "trending_inference_llm_calls_total",
            "Questions sent to the language model, retries included, by how they ended",
            ["outcome"],
            registry=registry,
        )
        self.llm_seconds = Histogram(
            "trending_inference_llm_seconds",
            "Time the language model took for one call, failed ones included",
            buckets=_LLM_BUCKETS,
            registry=registry,
        )
        self.llm_tokens = Counter(
            "trending_inference_llm_tokens_total",
            "Tokens as the language model's server counted them",
            ["kind"],
            registry=registry,
        )
        self.llm_cost = Counter(
            "trending_inference_llm_cost_usd_total",
            "Dollars spent on the language model by the prices set; unknown usage at its bound",
            registry=registry,
        )
        self.llm_budget = Gauge(
            "trending_inference_llm_day_budget_usd",
            "Dollars that a day (UTC) may cost; beyond them insights are degraded",
            multiprocess_mode="livemax",
            registry=registry,
        )


def everyones(registry: CollectorRegistry) -> CollectorRegistry:
    """What all workers have counted, whichever is asked; of one alone, its own."""
    if METRICS not in os.environ:
        return registry
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared
