"""What travels over HTTP, with examples; the OpenAPI description is made from these."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    StringConstraints,
    Tag,
    WithJsonSchema,
)

from trending_inference.filters import TitleId
from trending_inference.insights.drafting import ClaimKind
from trending_inference.reasons import Reason
from trending_inference.settings import MAX_ITEMS
from trending_shared.events import Kind, Lack, Standing, Trend, TrendCause, TrendPart, Verdict
from trending_shared.experiments import MOST_ARMS, Arm, Judgement, Subject
from trending_shared.genres import GENRES
from trending_shared.trends import LEVEL

MAX_TEXT = 20_000  # characters
PLOT = "A retired safecracker is talked into one last job by the daughter he never knew."

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


PREDICTION_ID = "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11"
JOB_ID = "5f0c4f0e-2a55-4c5e-8a39-0d1a7e9d6b27"
TITLE_ID = "t_0123456789abcdef"
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Asked(BaseModel):
    """A part of a request; a misspelt field is told, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextItem(Asked):
    """A text as it is."""

    text: Text = Field(examples=[PLOT])


class TitleItem(Asked):
    """A title of the catalog."""

    title_id: TitleId = Field(examples=[TITLE_ID])


class StoryItem(Asked):
    """A story as a title's fields; they become one text as the catalog's titles do."""

    plot: Text = Field(examples=[PLOT])
    name: Short = ""
    kind: Kind | None = None
    countries: Annotated[tuple[Short, ...], Field(max_length=50)] = ()
    reviews: Annotated[tuple[Text, ...], Field(max_length=50)] = Field(
        default=(), description="what people wrote of it; read if the model's recipe takes reviews"
    )


def _which(item: Any) -> str:
    if not isinstance(item, dict):
        return "plot"
    return "text" if "text" in item else "title_id" if "title_id" in item else "plot"


Item = Annotated[
    Annotated[TextItem, Tag("text")]
    | Annotated[TitleItem, Tag("title_id")]
    | Annotated[StoryItem, Tag("plot")],
    Discriminator(_which),
]


class GenresRequest(Asked):
    """What kind of stories are these?"""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"text": PLOT}, {"title_id": TITLE_ID}]}]}
    )

    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None,
        description="of the model that is to answer, one of those in service, whatever experiments "
        "say; /v1/models lists them",
    )


class ModelUsed(BaseModel):
    """Which model answered."""

    name: str = Field(examples=["genres"])
    version: str = Field(examples=["9f2c4e6a8b0d1f37"])
    alias: str = Field(
        description="by which it was chosen, or `experiment`, or `pinned`", examples=["champion"]
    )


class GenreAnswer(BaseModel):
    """What the model says about one item."""

    prediction_id: UUID
    title_id: str | None = None
    genres: list[str] = Field(
        description="those that pass their thresholds, most probable first",
        examples=[["Crime", "Drama"]],
    )
    abstained: bool = Field(description="true if no genre passed its threshold")
    probabilities: dict[str, float] = Field(
        description="of every genre, to 6 digits; genres don't exclude each other",
        examples=[{"Crime": 0.912345, "Drama": 0.623451, "Comedy": 0.081235}],
    )
    model: ModelUsed
    recorded: bool = Field(description="true if Kafka confirmed the record of this prediction")


class GenresAnswer(BaseModel):
    """One answer for each item, in the order of the request."""

    items: list[GenreAnswer]


class Links(BaseModel):
    """Where the pages of a list are."""

    self: str = Field(examples=["/v1/trending?limit=20&offset=20"])
    next: str | None = None
    prev: str | None = None


class PredictedGenre(BaseModel):
    """A genre, and how probable a model finds it."""

    genre: str = Field(examples=["Horror"])
    probability: float = Field(examples=[0.912345])
    passed: bool = Field(description="true if the model gives this genre: above its threshold")


class PredictedGenres(BaseModel):
    """What a model says of a title."""

    genres: list[PredictedGenre] = Field(description="of every genre, most probable first")
    prediction_id: UUID = Field(description="for its lineage")
    model_version: str = Field(examples=["9f2c4e6a8b0d1f37"])


class TitleSummary(BaseModel):
    """A title in a list."""

    title_id: str = Field(examples=[TITLE_ID])
    name: str = Field(examples=["Alien"])
    kind: Kind
    year: int | None = Field(examples=[1979])
    countries: list[str] = Field(examples=[["United Kingdom"]])
    language: str | None = Field(description="a BCP 47 tag", examples=["en"])
    genres: list[str] = Field(
        description="as its page says", examples=[["Horror", "Sci-Fi & Fantasy"]]
    )
    predicted: PredictedGenres | None = Field(
        description="what the model in service says of its text; null until it has been asked"
    )


class TrendInterval(BaseModel):
    """Where the score lies, with a probability of `level`."""

    level: float = Field(default=LEVEL)
    low: float = Field(examples=[1.21])
    high: float = Field(examples=[1.94])


class TitleTrend(BaseModel):
    """Whether a title rises on a day, how surely, by whose counts, and why."""

    day: date
    verdict: Verdict | Literal["not-enough-data"] | None = Field(
        description="rising: surely above its expectation; null in trends of before there were any"
    )
    lack: Lack | None = Field(
        default=None, description="why there isn't enough data, if that is known"
    )
    score: float | None = Field(
        default=None, description="log2 of recent over expected signals; 1 is twice as many"
    )
    recent: float | None = Field(default=None, description="signals a day of late")
    expected: float | None = Field(
        default=None, description="signals a day that its own past lets expect"
    )
    signals: int | None = Field(default=None, description="how many the score rests on")
    interval: TrendInterval | None = None
    standing: Standing | None = Field(
        default=None, description="new: released, or counted for the first time, lately"
    )
    parts: list[TrendPart] = Field(
        default=[], description="of the score, by what was counted and who counted it"
    )
    cause: TrendCause | None = None
    stands_out: bool | None = Field(
        default=None,
        description="in lists: whether it rises so surely that of all titles of the day of which "
        "this is said at most 5 % are expected to rise by chance",
    )

    @classmethod
    def of(cls, trend: Trend, *, bar: float | None = None) -> "TitleTrend":
        """Of a trend on record.

        Args:
            bar: the largest chance with which a title still stands out.
        """
        interval = None
        if trend.low is not None and trend.high is not None:
            interval = TrendInterval(low=trend.low, high=trend.high)
        stands_out = None
        if bar is not None and trend.chance is not None:
            stands_out = trend.verdict == "rising" and trend.chance <= bar
        return cls(
            **{name: getattr(trend, name) for name in cls.model_fields if hasattr(trend, name)},
            interval=interval,
            stands_out=stands_out,
        )


class TrendingTitle(TitleSummary):
    """A title that rises, or falls, against its own past."""

    score: float = Field(description="log2 of recent over expected signals; 1 is twice as many")
    recent: float = Field(description="signals a day of late")
    expected: float = Field(description="signals a day that its own past lets expect")
    trend: TitleTrend
    reasons: list[Reason] = Field(
        description="the likeliest cause, then what moved the score, most first"
    )


class TrendingAnswer(BaseModel):
    """A day's titles, the fastest rising first."""

    day: date | None = Field(description="none while there are no trends at all")
    nearest_day: date | None = Field(
        default=None, description="if nothing is known of that day: the last one before it that is"
    )
    total: int
    items: list[TrendingTitle]
    links: Links


class Facet(BaseModel):
    """A value to narrow by, and how many titles that would leave."""

    value: str | int = Field(examples=["Horror"])
    count: int = Field(examples=[12])


class FacetsAnswer(BaseModel):
    """What a day's titles can be narrowed by; the most frequent first, years the newest first.

    Each list counts what all other filters leave, so that choosing another value of it leads
    somewhere too. A title counts under each of its genres and countries.
    """

    day: date | None
    kinds: list[Facet] = []
    genres: list[Facet] = Field(default=[], description="by the rule of the filter `genre`")
    languages: list[Facet] = []
    countries: list[Facet] = []
    years: list[Facet] = []
    verdicts: list[Facet] = []


class TitlesAnswer(BaseModel):
    """Titles by name."""

    total: int
    items: list[TitleSummary]
    links: Links


class TrendDay(BaseModel):
    """One day of a title's history."""

    day: date
    score: float
    recent: float
    expected: float
    signals: int
    low: float | None = Field(default=None, description="lower end of the score's 99 % interval")
    high: float | None = Field(default=None, description="upper end of it")
    verdict: Verdict | None = None


class TrendHistory(BaseModel):
    """A title's trend on each of some days, as it was measured then."""

    title_id: str = Field(examples=[TITLE_ID])
    first_day: date | None = Field(description="of which anything is on record, of any title")
    last_day: date | None
    days: list[TitleTrend] = Field(
        description="oldest first; a day without a trend has `not-enough-data`"
    )


class ReviewText(BaseModel):
    """A review; its author isn't known to us."""

    day: date | None
    rating: float | None = Field(description="on a scale of 0 to 1")
    text: str


class Provenance(BaseModel):
    """Where the facts about a title come from."""

    source: str
    url: str
    license: str
    page_hash: str = Field(description="sha256 of the page's bytes, in hex")
    fetched_at: AwareDatetime


class AlsoTold(Provenance):
    """The same title as another source tells of it."""

    title_id: str
    name: str


class TitleDetail(TitleSummary):
    """All that is known of a title; trends and reviews are of all sources that tell of it."""

    plot: str
    runtime_minutes: int | None
    rating: float | None = Field(description="mean viewer rating on a scale of 0 to 1")
    rating_count: int | None
    trend: TitleTrend = Field(description="the newest that is known")
    trends: list[TrendDay] = Field(description="oldest first, the last 90 days on record at most")
    reasons: list[Reason] = Field(
        description="for its newest trend: the likeliest cause, then what moved it, most first"
    )
    reviews_count: int
    reviews: list[ReviewText] = Field(description="the newest 5")
    provenance: Provenance
    also_told_by: list[AlsoTold] = Field(
        description="what was found to be the same title; first the one that lists show"
    )


def _title_or_story(item: Any) -> str:
    return "title_id" if isinstance(item, dict) and "title_id" in item else "plot"


InsightRequest = Annotated[
    Annotated[TitleItem, Tag("title_id")] | Annotated[StoryItem, Tag("plot")],
    Discriminator(_title_or_story),
]


class Quote(BaseModel):
    """A sentence of the evidence, and its words that count."""

    id: str = Field(examples=["s2"])
    quote: str = Field(examples=["one last job"])


class InsightGenre(BaseModel):
    """A genre, and why."""

    genre: str = Field(examples=["Crime"])
    probability: float | None = Field(
        description="by the genre model in service; none if it doesn't know the genre",
        examples=[0.912345],
    )
    evidence: list[Quote] = Field(description="none if the genre model alone says so")


class InsightClaim(BaseModel):
    """A sentence about the title that rests on what it cites."""

    kind: ClaimKind
    text: str = Field(examples=["A retired safecracker is talked into one last job."])
    evidence: list[Quote]


class InsightVibe(BaseModel):
    """A mood, and the sentences that say so."""

    tag: str = Field(examples=["tense"])
    evidence: list[Quote]


class InsightScore(BaseModel):
    """How well viewers speak of it, by a rule."""

    value: float = Field(description="from 0 to 10", examples=[7.4])
    rated: int = Field(description="voices that are ratings", examples=[9])
    cited: int = Field(description="voices that checked claims speak for", examples=[2])
    rule: str


class EvidenceSentence(BaseModel):
    """A sentence that may be cited: characters `start` to `end` of its text."""

    id: str = Field(examples=["s2"])
    part: Literal["plot", "review"]
    review: int | None = Field(
        description="which review, from 0: in the order of the title's or of the request"
    )
    start: int
    end: int
    text: str = Field(description="as it stands there, with a space for what can't be seen")


class InsightUsage(BaseModel):
    """What this answer cost; nothing if it was known."""

    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float = Field(description="by the prices set; unknown usage at its bound")


class PromptUsed(BaseModel):
    """What a language model is told besides the data."""

    name: str = Field(examples=["insights"])
    version: str = Field(examples=["2b7e0d9a4c6f8135"])


class InsightAnswer(BaseModel):
    """What a title is like. Nothing in it is without the evidence it cites."""

    insight_id: UUID
    title_id: str | None = None
    outcome: Literal["answered", "degraded", "abstained"]
    degraded: bool = Field(description="true if no language model's words are in it")
    reason: str | None = Field(
        description="why it isn't answered: evidence-thin, no-llm, over-budget, llm-timed-out, "
        "llm-unavailable, llm-denied, llm-refused, llm-invalid, nothing-supported, "
        "too-many-questions, catalog-unavailable"
    )
    summary: str | None = Field(description="the claims that tell the story, in their order")
    genres: list[InsightGenre]
    claims: list[InsightClaim]
    vibes: list[InsightVibe]
    score: InsightScore | None
    evidence: list[EvidenceSentence]
    evidence_complete: bool = Field(description="false if there were more sentences than fit")
    withheld: int = Field(description="texts left out because they give orders")
    dropped: dict[str, int] = Field(
        description="parts of the language model's draft without support, by reason",
        examples=[{"unknown-id": 1, "no-overlap": 2}],
    )
    prompt: PromptUsed
    llm: str | None = Field(
        description="the language model, if there is one to ask", examples=["gpt-4o-mini"]
    )
    cached: bool
    usage: InsightUsage
    prediction_id: UUID | None = Field(description="what the genre model said, for its lineage")
    model: ModelUsed | None
    recorded: bool = Field(description="true if Kafka confirmed the record of this answer")


class JobRequest(Asked):
    """Fetch a source's pages."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "demo", "url": "http://127.0.0.1:8090/titles"}]}
    )

    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    url: HttpUrl | None = None
    max_pages: int = Field(default=1000, ge=1, le=100_000)


class JobAccepted(BaseModel):
    """A job is on its way; its id is the correlation id of all that follows from it."""

    job_id: UUID = Field(examples=[JOB_ID])


class JobCounts(BaseModel):
    """How many of its events have come, stage by stage."""

    pages: int
    titles_scraped: int
    reviews_scraped: int
    titles_cleaned: int
    titles_rejected: int
    reviews_cleaned: int
    reviews_rejected: int
    featurized: int
    parked: int


class JobStatus(BaseModel):
    """What has come of a job."""

    job_id: UUID
    done: bool = Field(description="true if every page, title and review has come to its end")
    counts: JobCounts
    rejected: dict[str, int] = Field(description="records by reason", examples=[{"PlotMissing": 3}])
    parked: dict[UUID, str] = Field(
        description="events that could never be handled, with the reason"
    )


def _known(genre: str) -> str:
    if genre not in GENRES:
        raise ValueError("this is none of the sixteen genres")
    return genre


def _each_once(genres: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(genres)) < len(genres):
        raise ValueError("a genre is named twice")
    return genres


Genre = Annotated[str, AfterValidator(_known), WithJsonSchema({"enum": list(GENRES)})]
Genres = Annotated[
    tuple[Genre, ...],
    AfterValidator(_each_once),
    Field(
        min_length=1,
        max_length=5,
        description="all that apply; no others do",
        json_schema_extra={"uniqueItems": True},
    ),
]


class FeedbackOnTitle(TitleItem):
    """A title's genres."""

    genres: Genres


class FeedbackOnPrediction(Asked):
    """The genres of a text that the model was asked about."""

    prediction_id: UUID
    genres: Genres


def _title_or_prediction(item: Any) -> str:
    return "prediction_id" if isinstance(item, dict) and "prediction_id" in item else "title_id"


FeedbackRequest = Annotated[
    Annotated[FeedbackOnTitle, Tag("title_id")]
    | Annotated[FeedbackOnPrediction, Tag("prediction_id")],
    Discriminator(_title_or_prediction),
]


class FeedbackAccepted(BaseModel):
    """It is on record; the lineage of what it corrects has it within seconds."""

    feedback_id: UUID


class ModelSummary(BaseModel):
    """A model of the registry."""

    version: str
    algorithm: str
    created_at: AwareDatetime
    dataset_id: str
    metrics: dict[str, float] = Field(description="on titles that it didn't learn from")
    wandb_run: str | None


class AliasState(BaseModel):
    """Where the alias points, and since when."""

    version: str
    number: int = Field(description="how often it has moved")
    moved_at: AwareDatetime
    moved_by: str
    reasons: list[str]


class VersionInService(BaseModel):
    """A version that answers, in this process."""

    version: str
    roles: list[str] = Field(
        description="what for: as the champion, as an arm of an experiment",
        examples=[["champion", "autumn/control"]],
    )


class VersionBroken(BaseModel):
    """What was to be in service and can't be; what was there before stays."""

    role: str = Field(
        description="the alias or arm that points at it, or `experiments` for their document",
        examples=["autumn/candidate"],
    )
    version: str | None
    reason: str = Field(examples=["ModelUnusable"])
    detail: str


class ModelsAnswer(BaseModel):
    """The registry as the gateway sees it."""

    name: str
    alias: str
    champion: AliasState | None
    serving: str | None = Field(description="the version this process answers with right now")
    in_service: list[VersionInService] = Field(
        description="all that this process can be asked for by `version`"
    )
    broken: list[VersionBroken] = Field(description="what couldn't be put in service, and why")
    versions: list[ModelSummary] = Field(description="newest first")


class ExperimentChange(Asked):
    """What an experiment is to be from now on."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        description="also its salt: another name draws anew", examples=["autumn"]
    )
    state: Literal["running", "stopped"] = "running"
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MOST_ARMS)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="by hand", description="why; kept in the history"
    )


class ExperimentFacts(BaseModel):
    """One state of an experiment, but for its arms."""

    number: int = Field(description="of the states of this target; the `ETag`", examples=[3])
    subject: Subject
    target: str = Field(description="a model's or a prompt's name", examples=["genres"])
    name: str = Field(examples=["autumn"])
    state: Literal["running", "stopped"]
    reasons: list[str]
    changed_by: str
    changed_at: AwareDatetime
    judged: Judgement | None = Field(
        default=None, description="why it is in this state, if the monitor conducts it"
    )


class ExperimentState(ExperimentFacts):
    """One state of an experiment."""

    arms: list[Arm]


class ArmInService(Arm):
    """An arm, and what answers for it."""

    in_service: str | None = Field(
        description="the version in this process; without one the champion answers"
    )
    reason: str | None = Field(description="why it can't be served", examples=["ModelUnusable"])


class ExperimentHere(ExperimentFacts):
    """An experiment as this process has it."""

    follows: bool = Field(description="true if this process goes by this very state")
    arms: list[ArmInService]


class ExperimentsAnswer(BaseModel):
    """The last experiment with each target."""

    total: int
    items: list[ExperimentHere]
    links: Links


class ExperimentHistory(BaseModel):
    """An experiment, and the states before it."""

    current: ExperimentState
    total: int
    history: list[ExperimentState] = Field(description="newest first")
    links: Links


class AssignmentAnswer(BaseModel):
    """What an experiment has to do with a unit."""

    experiment: str = Field(examples=["autumn"])
    number: int = Field(description="of the state that this was drawn by")
    unit: str = Field(description="by the hash that is on record", examples=["5f2b" * 8])
    arm: str = Field(examples=["candidate"])
    version: str = Field(examples=["9f2c4e6a8b0d1f37"])
    shadows: list[str] = Field(description="arms that are asked as well, unseen")
