"""Every fact that travels between services: one frozen class each, owner of its topic and key.

A new optional field keeps the version. A changed meaning is a new class on a new topic. The
ancestry of an event (id, cause, correlation) isn't part of its body: see `messages`.
"""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Kind = Literal["film", "show"]


class Event(BaseModel):
    """A fact in the past tense.

    `key` decides the partition, so that facts about one thing stay in order; `natural_key` tells
    apart the facts of one class that follow from one cause, and is what makes their ids
    deterministic.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def key(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} must name its key")

    @property
    def natural_key(self) -> str:
        return self.key

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents `type`: `trending.TitleScraped.v1`."""
        return f"trending.{cls.__name__}.v{cls.version}"


class Frozen(BaseModel):
    """A part of an event."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DayCount(Frozen):
    """How often something was counted on one UTC day: views, watches, mentions."""

    day: date
    count: int = Field(ge=0)


class Page(Frozen):
    """Where a record came from: enough to find the raw bytes again, and to erase them."""

    url: str
    hash: str = Field(description="sha256 of the decoded body, in hex")
    key: str = Field(description="where the object store keeps the gzip'd bytes")
    fetched_at: AwareDatetime


class RawTitle(Frozen):
    """A title's fields as the page had them, before anyone judged them."""

    name: str | None = None
    kind: str | None = None
    year: str | None = None
    genres: tuple[str, ...] = ()
    plot: str | None = None
    countries: tuple[str, ...] = ()
    language: str | None = None
    runtime: str | None = None
    age_rating: str | None = None
    rating: str | None = None
    best_rating: str | None = None
    rating_count: str | None = None
    popularity: tuple[DayCount, ...] = ()
    external_ids: dict[str, str] = Field(
        default={},
        description="what others call it, by scheme: imdb, tmdb (`movie/550` or `tv/1399`: films "
        "and shows share its numbers), trakt (likewise `movie/12` or `show/1390`), tvmaze, "
        "thetvdb, wikidata, wikipedia (`en:Dark_(TV_series)`)",
    )


# Under which key an author was hashed, and the hash; without a key's id before keys had ids.
AUTHOR_HASH = r"k[0-9a-f]{6}:[0-9a-f]{48}|[0-9a-f]{64}"


class RawReview(Frozen):
    """A review's fields as the page had them; its author only as a keyed hash."""

    review_source_id: str | None = None
    author_hash: str | None = Field(
        default=None, description="keyed hash of the author; says which key"
    )
    text: str | None = None
    rating: str | None = None
    best_rating: str | None = None
    day: str | None = None
    language: str | None = None


def host(url: str) -> str:
    """The host of an address, with its port if it names one."""
    return url.split("://", 1)[-1].split("/", 1)[0].lower()


def asked_at(url: str) -> str:
    """Whom an address asks: a host, or a part of an imported file, which needs no pace."""
    return url if url.startswith("store:") else host(url)


# ---------------------------------------------------------------- scraper


class ScrapeJob(Event):
    """Somebody wants a page of a source fetched; list pages lead to further jobs."""

    topic: ClassVar[str] = "scrape-jobs"
    source: str
    url: str
    page: Literal["list", "detail"] = "list"
    depth: int = Field(default=0, ge=0, description="how many pages lie between the first and this")
    max_pages: int = Field(
        default=1000, ge=1, le=100_000, description="list pages to follow at most"
    )

    @property
    def key(self) -> str:
        """The host, or an import's part: a host is one partition, its pace kept by one scraper."""
        return asked_at(self.url)

    @property
    def natural_key(self) -> str:
        return self.url


class TitleScraped(Event):
    """A page told something about a title."""

    topic: ClassVar[str] = "titles-scraped"
    source: str
    source_id: str
    page: Page
    license: str
    title: RawTitle

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_id}"


class ReviewScraped(Event):
    """A page held a review of a title."""

    topic: ClassVar[str] = "reviews-scraped"
    source: str
    source_id: str
    page: Page
    license: str
    position: int = Field(ge=0, description="the review's place on its page, from 0")
    review: RawReview

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_id}"

    @property
    def natural_key(self) -> str:
        if self.review.review_source_id:
            return f"{self.key}:id:{self.review.review_source_id}"
        return f"{self.key}:position:{self.position}"


class FactsScraped(Event):
    """A source told facts by which a title may be recognised or completed, without describing it.

    What a title must have, such as a plot, may be missing; `TitleScraped` is a description.
    """

    topic: ClassVar[str] = "facts-scraped"
    source: str
    source_id: str
    page: Page
    license: str
    title: RawTitle

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_id}"


class SignalScraped(Event):
    """A source counted, day by day, how much attention something got."""

    topic: ClassVar[str] = "signals-scraped"
    source: str
    source_id: str
    page: Page
    license: str
    metric: str = Field(description="what was counted: pageviews, watchers, votes, weight")
    external_ids: dict[str, str] = Field(description="what it was counted of, as in `RawTitle`")
    counts: tuple[DayCount, ...]

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_id}"

    @property
    def natural_key(self) -> str:
        return f"{self.key}:{self.metric}"


class PageFetched(Event):
    """A page came and was kept; what it takes to read it once more."""

    topic: ClassVar[str] = "pages-fetched"
    source: str
    url: str = Field(description="what was asked for; `page.url` is where redirects ended")
    kind: Literal["list", "detail"]
    page: Page
    charset: str | None = Field(default=None, description="as the Content-Type header has it")
    events: int = Field(default=0, ge=0, description="how many other events it led to")

    @property
    def key(self) -> str:
        return asked_at(self.url)

    @property
    def natural_key(self) -> str:
        return self.url


class PageUnchanged(Event):
    """A site said that a page is still what we kept of it."""

    topic: ClassVar[str] = "pages-unchanged"
    source: str
    url: str
    kind: Literal["list", "detail"]
    page: Page = Field(description="the page as it was kept then")
    seen_at: AwareDatetime

    @property
    def key(self) -> str:
        return host(self.url)

    @property
    def natural_key(self) -> str:
        return self.url


# ---------------------------------------------------------------- cleaner


class TitleCleaned(Event):
    """A title is normalised, valid, and lies in the table `titles`."""

    topic: ClassVar[str] = "titles-cleaned"
    title_id: str
    source: str
    source_id: str
    page: Page
    license: str
    name: str
    kind: Kind
    year: int | None = None
    released: date | None = Field(
        default=None, description="the day of its release, where the page names one"
    )
    genres: tuple[str, ...] = Field(description="canonical genres; empty means unknown, not none")
    unknown_genres: tuple[str, ...] = Field(default=(), description="labels nobody could map")
    genre_confidence: dict[str, float] = Field(
        default={}, description="how surely the page meant each of `genres`, up to 1; see `genres`"
    )
    warnings: tuple[str, ...] = Field(default=(), description="what to doubt, such as an odd value")
    plot: str
    countries: tuple[str, ...] = ()
    language: str | None = Field(default=None, description="BCP 47 tag; early events have names")
    runtime_minutes: int | None = None
    rating: float | None = Field(
        default=None, description="mean viewer rating on a scale of 0 to 1"
    )
    rating_count: int | None = None
    popularity: tuple[DayCount, ...] = ()
    external_ids: dict[str, str] = Field(
        default={}, description="what others call it, by scheme, as in `RawTitle`; checked"
    )
    content_hash: str

    @property
    def key(self) -> str:
        return self.title_id


class ReviewCleaned(Event):
    """A review is normalised, free of personal data, and lies in the table `reviews`."""

    topic: ClassVar[str] = "reviews-cleaned"
    review_id: str
    title_id: str
    source: str
    source_id: str
    page: Page
    license: str
    author_hash: str | None = None
    text: str
    rating: float | None = Field(default=None, description="on a scale of 0 to 1")
    day: date | None = None
    language: str | None = Field(default=None, description="BCP 47 tag; early events have names")
    content_hash: str
    warnings: tuple[str, ...] = Field(default=(), description="what to doubt, such as an odd value")

    @property
    def key(self) -> str:
        return self.title_id

    @property
    def natural_key(self) -> str:
        return self.review_id


class SignalCleaned(Event):
    """Counts by day are checked, and lie in the table `signals`.

    Of several counts of one subject, metric and day the one that was fetched last holds. A signal
    may come before the title that it is about; `external_ids` tell which that is.
    """

    topic: ClassVar[str] = "signals-cleaned"
    subject_id: str = Field(description="what was counted: a hash of source and the source's id")
    source: str
    source_id: str
    page: Page
    license: str
    metric: str
    external_ids: dict[str, str] = Field(description="what the subject is called; at least one")
    counts: tuple[DayCount, ...]

    @property
    def key(self) -> str:
        return self.subject_id

    @property
    def natural_key(self) -> str:
        return f"{self.subject_id}:{self.metric}"


class MergedMember(Frozen):
    """A record of a merged title, and why it is one."""

    title_id: str
    source: str
    source_id: str
    described: bool = Field(description="whether it has a plot; otherwise it is facts")
    reason: str


class TitleMerged(Event):
    """What several sources tell of one title, or one alone, is put together anew.

    Which records are one title may be said otherwise later. Of what speaks of the same title, that
    with the higher `resolution` holds: it was said knowing more.
    """

    topic: ClassVar[str] = "titles-merged"
    title_id: str = Field(description="that of the member whose description was first fetched")
    resolution: int = Field(ge=0, description="how many commits of titles and facts were known")
    members: tuple[MergedMember, ...]
    absorbed_ids: tuple[str, ...] = Field(
        description="members that would be merged titles by themselves, and are none now"
    )
    name: str
    kind: Kind
    year: int | None = None
    genres: tuple[str, ...]
    plot: str
    countries: tuple[str, ...] = ()
    language: str | None = None
    runtime_minutes: int | None = None
    rating: float | None = Field(default=None, description="on a scale of 0 to 1")
    rating_count: int | None = None
    external_ids: tuple[str, ...] = Field(description="of all members: `imdb:tt0078748`")
    licenses: tuple[str, ...] = Field(description="of all members")
    provenance: dict[str, str] = Field(
        description="the member that told a field, a genre (`genres.Drama`) or an id"
    )
    content_hash: str

    @property
    def key(self) -> str:
        return self.title_id

    @property
    def natural_key(self) -> str:
        # Not the resolution: how much was known depends on how batches were cut.
        return f"{self.title_id}:{self.content_hash}"


class RecordRejected(Event):
    """A scraped record didn't become a row; the reason says why."""

    topic: ClassVar[str] = "records-rejected"
    record: Literal["title", "review", "facts", "signal"]
    source: str
    source_id: str
    page: Page
    reason: str
    detail: str

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_id}"


# ---------------------------------------------------------------- featurizer


class TrendPart(Frozen):
    """What one source counted of a title, and how much of its score that is."""

    metric: str = Field(description="what was counted: pageviews, watchers, reviews, popularity")
    source: str | None = Field(default=None, description="who counted, where several may")
    score: float = Field(description="its part of the trend's score; the parts add up to it")
    recent: float = Field(description="signals a day of late, as in `Trend`")
    expected: float = Field(description="signals a day expected, as in `Trend`")


CauseKind = Literal[
    "release", "anniversary", "reviews", "one-source", "attention", "source-wide", "unknown"
]


class TrendCause(Frozen):
    """Why a title rises, or why what looks like a rise is none; see `trending_shared.causes`."""

    kind: CauseKind = Field(description="the likeliest, or `unknown` if none is likely enough")
    probability: float | None = Field(
        default=None, description="of the likeliest; null where the cause is a rule"
    )
    chances: dict[str, float] = Field(default={}, description="of each cause, adding up to 1")
    evidence: dict[str, float | int | str] = Field(
        default={}, description="the figures that speak for it"
    )


Verdict = Literal["rising", "steady", "falling"]
Standing = Literal["new", "catalogue"]
Lack = Literal["nothing-counted", "too-few-days", "not-watched-of-late", "too-few-signals"]


class Trend(Frozen):
    """How a title's signals moved against its own past; see `trending_shared.trends`."""

    day: date
    score: float = Field(description="log2 of recent rate over expected rate, shrunk; 0 is steady")
    recent: float = Field(description="signals a day of late, exponentially decayed")
    expected: float = Field(description="signals a day that its own past lets expect")
    signals: int = Field(description="how many signals the score rests on")
    low: float | None = Field(default=None, description="lower end of the score's 99 % interval")
    high: float | None = Field(default=None, description="upper end of the score's 99 % interval")
    chance: float | None = Field(
        default=None, description="probability that nothing has risen; boards are cut by it"
    )
    verdict: Verdict | None = None
    standing: Standing | None = Field(
        default=None, description="new: released, or counted for the first time, lately"
    )
    parts: tuple[TrendPart, ...] = Field(default=(), description="of the score, the largest first")
    cause: TrendCause | None = Field(default=None, description="of a rise, or of a seeming one")


class FeaturesComputed(Event):
    """A title's features lie in the table `features`, its entry in the catalog."""

    topic: ClassVar[str] = "features-computed"
    title_id: str
    content_hash: str
    text_hash: str
    recipe: str
    encoder: str
    trend: Trend | None = None
    lack: Lack | None = Field(default=None, description="why there is no trend, if there is none")

    @property
    def key(self) -> str:
        return self.title_id


class DatasetRequested(Event):
    """Somebody wants a dataset snapshot of everything known by now."""

    topic: ClassVar[str] = "datasets-requested"
    reason: str

    @property
    def key(self) -> str:
        return "datasets"


class DatasetPublished(Event):
    """A frozen dataset lies in the object store."""

    topic: ClassVar[str] = "datasets-published"
    dataset_id: str = Field(description="sha256 of the rows, first 16 hex digits")
    manifest_key: str
    titles: int
    labelled: int
    recipe: str
    table_version: int

    @property
    def key(self) -> str:
        return "datasets"

    @property
    def natural_key(self) -> str:
        return self.dataset_id


# ---------------------------------------------------------------- trainer


class TrainingRequested(Event):
    """The monitor, or a person, wants a model trained; without a dataset the newest is taken."""

    topic: ClassVar[str] = "training-requested"
    reason: str
    dataset_id: str | None = None

    @property
    def key(self) -> str:
        return "trainings"


class ModelRegistered(Event):
    """A model's bundle lies in the registry."""

    topic: ClassVar[str] = "models-registered"
    model: str = Field(description="the registry's name for the task: genres")
    model_version: str
    algorithm: str
    dataset_id: str
    macro_f1: float
    wandb_run: str | None = None

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return f"{self.model}:{self.model_version}"


class ModelPromoted(Event):
    """An alias points at another model now."""

    topic: ClassVar[str] = "models-promoted"
    model: str
    model_version: str
    alias: str
    number: int = Field(description="how often this alias has moved")
    previous: str | None = None
    reasons: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return f"{self.model}:{self.alias}:{self.number}"


class ModelApproved(Event):
    """A trained model passed the gate and may be tried; the champion stays until it is beaten."""

    topic: ClassVar[str] = "models-approved"
    model: str
    model_version: str
    champion: str = Field(description="the version that it was measured against")
    dataset_id: str
    reasons: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return f"{self.model}:{self.model_version}"


class ModelRefused(Event):
    """A trained model didn't pass the gate, or a training gave none; the champion stays."""

    topic: ClassVar[str] = "models-refused"
    model: str
    model_version: str | None = None
    dataset_id: str | None = None
    reasons: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return f"{self.model}:{self.model_version}"


# ---------------------------------------------------------------- inference and monitor


class Trial(Frozen):
    """What an experiment had to do with an answer."""

    experiment: str
    arm: str = Field(description="the one that was to answer, or was asked in shadow")
    unit: str = Field(description="by its hash, another one in every experiment")
    fallback: bool = Field(
        default=False, description="true if the arm couldn't be served, and the champion answered"
    )
    shadow_of: str | None = Field(
        default=None,
        description="the id of the answer that was told; with one, this one was told to nobody",
    )


class PredictionServed(Event):
    """The gateway answered one text, or a model in shadow would have."""

    topic: ClassVar[str] = "predictions-served"
    prediction_id: str
    request_id: str
    model: str
    model_version: str
    alias: str = Field(description="by which it was chosen, or `experiment`, or `pinned`")
    title_id: str | None = None
    text: str = Field(description="the normalised text the model saw")
    text_hash: str
    probabilities: dict[str, float]
    genres: tuple[str, ...]
    served_at: AwareDatetime
    duration_ms: float
    trial: Trial | None = Field(default=None, description="none outside of experiments")

    @property
    def key(self) -> str:
        return self.prediction_id


class InsightServed(Event):
    """The gateway told what a title is like, or that it can't; its words only by their hashes.

    Or so it would have been told with another prompt: see `trial`.
    """

    topic: ClassVar[str] = "insights-served"
    insight_id: str
    request_id: str
    title_id: str | None = None
    caller: str = Field(description="whose budget it counts against")
    outcome: Literal["answered", "degraded", "abstained"]
    reason: str | None = Field(default=None, description="why it isn't answered: over-budget")
    prompt: str
    prompt_version: str
    answer_form: str = Field(description="what the language model was to answer: insight-1")
    llm: str | None = Field(default=None, description="the language model, if there is one to ask")
    attempts: int = Field(ge=0, description="calls for this answer; none if it was known")
    cached: bool
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    cost_usd: float = Field(ge=0, description="by the prices set; unknown usage at its bound")
    evidence_hash: str = Field(description="of the data that is asked about")
    sentences: int = Field(ge=0, description="of the evidence")
    withheld: int = Field(ge=0, description="texts kept from it because they give orders")
    answer_hash: str = Field(description="of genres, claims, vibes and score as they were told")
    genres: tuple[str, ...]
    score: float | None = Field(default=None, description="from 0 to 10")
    claims: int = Field(ge=0, description="how many were told")
    dropped: dict[str, int] = Field(description="parts without support, by reason")
    prediction_id: str | None = Field(
        default=None, description="what the genre model said of the same text; the cause"
    )
    served_at: AwareDatetime
    duration_ms: float
    trial: Trial | None = Field(default=None, description="of prompts; none outside of them")

    @property
    def key(self) -> str:
        return self.insight_id


class GenresCorrected(Event):
    """A person said which genres a title has, or a text that the gateway was asked about.

    It has all that a labelled row needs, and is none: anybody may have said it.
    """

    topic: ClassVar[str] = "genres-corrected"
    feedback_id: str
    title_id: str | None = None
    prediction_id: str | None = Field(
        default=None, description="what the model had said of it; the cause"
    )
    text: str = Field(description="as the model read it, or would have")
    text_hash: str
    genres: tuple[str, ...] = Field(description="of the sixteen: all that apply, no others do")
    model: str | None = Field(default=None, description="the model that is corrected")
    model_version: str | None = None
    said_by: str = Field(
        description="a key's name, or `anonymous` and a hash that leads to no address and is "
        "another one when the gateway is started again"
    )
    corrected_at: AwareDatetime

    @property
    def key(self) -> str:
        return self.title_id or self.prediction_id or self.feedback_id

    @property
    def natural_key(self) -> str:
        return self.feedback_id


class ExperimentChanged(Event):
    """The monitor has put an experiment into another phase, or ended it."""

    topic: ClassVar[str] = "experiments-changed"
    subject: Literal["models", "prompts"]
    target: str = Field(description="the model's or the prompt's name: genres")
    experiment: str
    number: int = Field(description="of the states of this target")
    phase: Literal["shadow", "split", "promoted", "refused"]
    control: str = Field(description="the version that answers so far")
    candidate: str
    cause: str = Field(description="in a word or two: better, guardrail, undecided")
    reasons: tuple[str, ...]
    outcomes: int = Field(ge=0, description="labelled texts in shadow and units since")
    difference: float | None = Field(
        default=None, description="mean score of the candidate less that of the control"
    )
    low: float | None = Field(default=None, description="with `high` where it lies, at any time")
    high: float | None = None

    @property
    def key(self) -> str:
        return f"{self.subject}:{self.target}"

    @property
    def natural_key(self) -> str:
        return f"{self.subject}:{self.target}:{self.number}"


class DriftDetected(Event):
    """A window of predictions differs from what the model was trained on."""

    topic: ClassVar[str] = "drift-detected"
    window_id: str
    model: str
    model_version: str
    predictions: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    scores: dict[str, float] = Field(description="population stability index by feature")
    drifted: tuple[str, ...]
    threshold: float = Field(description="the lowest of `thresholds`, or all of them")
    thresholds: dict[str, float] | None = Field(
        default=None, description="by feature, from which score on it drifted"
    )

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return self.window_id


class GenreEstimate(Frozen):
    """What is to be expected of one genre's answers in a window."""

    hits: float = Field(description="expected number of predictions that rightly gave it")
    false_alarms: float = Field(description="that wrongly gave it")
    misses: float = Field(description="that should have given it")
    f1: float | None = Field(description="none if surely no prediction is of the genre")
    low: float | None = Field(description="with `high` where F1 lies with 95 % confidence")
    high: float | None


class QualityEstimated(Event):
    """How good a window's answers are, as far as the model's own confidence tells; no labels."""

    topic: ClassVar[str] = "quality-estimated"
    window_id: str
    model: str
    model_version: str
    predictions: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    macro_f1: float = Field(description="mean over the genres that occur")
    low: float = Field(description="with `high` where it lies with 95 % confidence")
    high: float
    genres: dict[str, GenreEstimate]

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return self.window_id


RetrainingTrigger = Literal[
    "new-data", "drift", "estimated-fall", "measured-fall", "schedule", "person"
]


class RetrainingRequested(Event):
    """A person or the clock wants it decided whether a model is trained anew."""

    topic: ClassVar[str] = "retraining-requested"
    reason: str
    trigger: RetrainingTrigger = "person"
    force: bool = Field(default=False, description="a person's: train, whatever speaks against it")
    window_id: str | None = Field(default=None, description="the newest one that it rests on")

    @property
    def key(self) -> str:
        return "trainings"


class RetrainingDecided(Event):
    """Whether a model is trained anew was decided, and why; a no is told like a yes."""

    topic: ClassVar[str] = "retraining-decided"
    decision_id: str = Field(description="the id of the event that it answers")
    model: str
    model_version: str | None = Field(default=None, description="the champion, if there is one")
    trigger: RetrainingTrigger
    retrain: bool
    codes: tuple[str, ...] = Field(description="of a yes what led to it, of a no what forbids it")
    reasons: tuple[str, ...] = Field(description="the same in words, one a code")
    decided_at: AwareDatetime
    possible_at: AwareDatetime | None = Field(
        default=None,
        description="of a no: when time alone makes it a yes; none if that takes other facts",
    )
    window_id: str | None = Field(default=None, description="the newest one that it rests on")
    windows: int | None = Field(default=None, description="how many in a row say the same")
    windows_since: AwareDatetime | None = Field(default=None, description="when the first began")
    windows_until: AwareDatetime | None = Field(default=None, description="when the newest ended")
    dataset_id: str | None = Field(default=None, description="what there is to learn from")
    new_titles: int | None = Field(default=None, description="since the last training")
    new_share: float | None = Field(default=None, description="of what that learned from")
    cool_down_until: AwareDatetime | None = None
    pending_since: AwareDatetime | None = Field(
        default=None, description="when the training was decided that is still under way"
    )
    budget_left: int = Field(description="trainings, before this one, in the budget's period")

    @property
    def key(self) -> str:
        return self.model

    @property
    def natural_key(self) -> str:
        return self.decision_id


class DriftReported(Event):
    """What was served on a day was compared with what is known, and lies in the store as a page."""

    topic: ClassVar[str] = "drift-reported"
    day: date
    subject: str = Field(description="a model's version, or `insights`")
    reference: str = Field(description="what it was compared with, in words")
    rows: int = Field(description="of the day that were compared; a sample if there were more")
    reference_rows: int
    scores: dict[str, float] = Field(description="population stability index by column")
    thresholds: dict[str, float] = Field(description="by column, from which score on it drifted")
    drifted: tuple[str, ...]
    failed: dict[str, str] = Field(description="columns that couldn't be compared, and why")
    html: str | None = Field(description="key of the page (gzip) in the object store, if there is")
    document: str = Field(description="key of the same as JSON")

    @property
    def key(self) -> str:
        return self.subject

    @property
    def natural_key(self) -> str:
        return f"{self.subject}:{self.day}"


# ---------------------------------------------------------------- every service


class ServiceConfigured(Event):
    """A process of a service began with these settings."""

    topic: ClassVar[str] = "services-configured"
    service: str
    settings: dict[str, str] = Field(
        description="by variable; of a secret only whether it is set, of an address not whose"
    )
    consumes: tuple[str, ...] = Field(description="topics")
    produces: tuple[str, ...] = Field(description="topics")

    @property
    def key(self) -> str:
        return self.service


class RecordsDeleted(Event):
    """What was kept long enough was deleted."""

    topic: ClassVar[str] = "records-deleted"
    what: str = Field(description="reports, signals, trends")
    count: int = Field(ge=1)
    before: date = Field(description="what is of this day or later was kept")
    reason: str

    @property
    def key(self) -> str:
        return self.what

    @property
    def natural_key(self) -> str:
        return f"{self.what}:{self.before}"


class ErasureRequested(Event):
    """A person wants an author's reviews gone, or a page, and all that came of them.

    What that is the store tells, by hashes; the services erase one after the other, from the
    scraper on, so that nothing comes again from what lies before them.
    """

    topic: ClassVar[str] = "erasures-requested"
    erasure_id: str = Field(description="`erasures/<id>/request.json` in the store says the rest")
    kind: Literal["author", "page"]
    reason: str

    @property
    def key(self) -> str:
        return self.erasure_id


class RecordsErased(Event):
    """A service holds nothing any more of what an erasure names."""

    topic: ClassVar[str] = "records-erased"
    erasure_id: str
    service: str
    counts: dict[str, int] = Field(
        description="what was there to erase, by place; less where a killed process had begun"
    )
    datasets: tuple[str, ...] = Field(
        default=(), description="ids of all snapshots that have lost rows by this erasure"
    )
    models: tuple[str, ...] = Field(
        default=(), description="`<name>:<version>` of those that were trained on one of them"
    )

    @property
    def key(self) -> str:
        return self.erasure_id

    @property
    def natural_key(self) -> str:
        return f"{self.erasure_id}:{self.service}"


EVENTS: tuple[type[Event], ...] = (
    ScrapeJob,
    TitleScraped,
    ReviewScraped,
    FactsScraped,
    SignalScraped,
    PageFetched,
    PageUnchanged,
    TitleCleaned,
    ReviewCleaned,
    SignalCleaned,
    TitleMerged,
    RecordRejected,
    FeaturesComputed,
    DatasetRequested,
    DatasetPublished,
    TrainingRequested,
    ModelRegistered,
    ModelApproved,
    ModelPromoted,
    ModelRefused,
    PredictionServed,
    InsightServed,
    GenresCorrected,
    ExperimentChanged,
    DriftDetected,
    QualityEstimated,
    RetrainingRequested,
    RetrainingDecided,
    DriftReported,
    ServiceConfigured,
    RecordsDeleted,
    ErasureRequested,
    RecordsErased,
)
