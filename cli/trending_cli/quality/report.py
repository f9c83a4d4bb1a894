"""What a quality report says, as data: the document of `--json`, and all that the page shows.

Fields are only ever added; a changed meaning is a new `format`.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Severity = Literal["passed", "info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("passed", "info", "warning", "error")


class Section(BaseModel):
    """A part of the report; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bin(Section):
    """How many values lie from `low` to below `high`; the last bin has its end too."""

    low: float
    high: float
    count: int


class FieldMeasure(Section):
    """One field of one kind of record."""

    record: Literal["title", "review"]
    field: str
    promised: bool
    """Whether the source catalogue says that the source gives it; never, overall."""
    records: int
    missing: int
    misfits: int
    """Values that can't be what the field is for."""
    examples: tuple[str, ...] = ()


class DuplicateMeasure(Section):
    """Records that are suspiciously alike, by what makes them so."""

    alike: Literal["event", "content", "plot", "name", "review"]
    records: int
    """All that have a twin, themselves included."""
    groups: int
    of: int
    examples: tuple[str, ...] = ()


class TextMeasure(Section):
    """The plots, or the reviews: in which language, how long, how many cut off."""

    record: Literal["title", "review"]
    texts: int
    looked_at: int
    """Texts whose language was detected: long enough ones, in a sample if there are many."""
    languages: dict[str, int]
    words: tuple[Bin, ...]
    quantiles: dict[str, float]
    """Words at `min`, `p05`, `median`, `p95`, `max`."""
    short: int
    cut: int
    broken: int
    """Texts with characters that come of a wrong decoding."""
    examples: dict[str, tuple[str, ...]] = {}
    """Of texts that are `short`, `cut`, `broken`, or in an `other_language`."""


class NeverGiven(Section):
    """A genre that a kind of title never has, though the other kind often does."""

    genre: str
    kind: str
    titles: int
    expected: float


class LabelMeasure(Section):
    """What genres titles have."""

    titles: int
    unlabelled: int
    genres: dict[str, dict[str, int]]
    """Titles by genre, then kind."""
    pairs: dict[str, dict[str, int]]
    """Titles that have both genres; of one and the same, those that have it alone."""
    with_unknown: int
    unknown: dict[str, int]
    """The most frequent labels that nobody could map."""
    never_given: tuple[NeverGiven, ...]


class Measures(Section):
    """What was counted of one source, or of all."""

    titles: int
    reviews: int
    versions: int
    """Rows of titles and reviews, with the versions that newer ones have replaced."""
    fields: tuple[FieldMeasure, ...]
    duplicates: tuple[DuplicateMeasure, ...]
    texts: tuple[TextMeasure, ...]
    labels: LabelMeasure
    licenses: dict[str, int]
    rejects: dict[str, int]
    """Records by the reason for which they didn't become rows."""
    oldest: AwareDatetime | None
    newest: AwareDatetime | None
    """When the first and the last page that is in force was fetched."""


class DriftMeasure(Section):
    """How far a feature's distribution lies from that in the reference."""

    source: str | None
    feature: str
    method: Literal["PSI", "Jensen-Shannon"]
    score: float
    chance: float
    """What ninety-nine of a hundred samples of these sizes stay below if nothing has changed."""
    rows: int
    reference_rows: int


class Check(Section):
    """A number held against a limit."""

    name: str
    source: str | None
    """None: of all records."""
    about: str
    """The field, feature or kind of record; empty where there is only one."""
    severity: Severity
    measured: float
    limit: str
    """In words, such as `warning above 5 %, error above 50 %`."""
    said: str
    examples: tuple[str, ...] = ()


class Subject(Section):
    """What was looked at: the tables at these versions, or a snapshot."""

    dataset_id: str | None
    tables: dict[str, int]
    sources: tuple[str, ...]


class Reference(Section):
    """The snapshot that drift is measured against."""

    dataset_id: str
    created_at: AwareDatetime
    rows: int


class Report(Section):
    """The whole document."""

    format: Literal[1] = 1
    made_at: AwareDatetime
    code_version: str
    subject: Subject
    reference: Reference | None
    checks: tuple[Check, ...]
    overall: Measures
    sources: dict[str, Measures]
    drift: tuple[DriftMeasure, ...]
    other_tables: dict[str, dict[str, int]]
    """Rows by source of the tables that are only counted."""

    def count(self, severity: Severity) -> int:
        return sum(check.severity == severity for check in self.checks)

    def fails(self, at: Severity) -> bool:
        """Whether a check is as bad as this, or worse."""
        worst = max((SEVERITIES.index(check.severity) for check in self.checks), default=0)
        return worst >= SEVERITIES.index(at)
