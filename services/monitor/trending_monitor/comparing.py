"""Two tables beside each other, column by column, by Evidently.

Evidently takes ten seconds to import and some hundred megabytes, so only `reporting` imports this,
in a process of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandas.core.dtypes.common as _dtypes

if not hasattr(_dtypes, "infer_dtype_from_object"):
    # Evidently imports this private function of pandas before 3.1 and calls it nowhere we come by.
    _dtypes.infer_dtype_from_object = lambda dtype: pd.api.types.pandas_dtype(dtype).type

from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import psi_stat_test
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

MIN_ROWS = 50  # of fewer, a distribution says nothing
_DRAWS = 200
_CHANCE = 0.01  # that a day without drift has any column that seems to drift


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it, by column: either in `scores` and `thresholds`, or in `failed`."""

    scores: dict[str, float]
    thresholds: dict[str, float]
    failed: dict[str, str]
    html: str | None
    """Evidently's page; none if no column could be compared."""
    document: dict[str, Any]
    """Evidently's results."""

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(c for c, score in self.scores.items() if score > self.thresholds[c])


def compare(current: pd.DataFrame, reference: pd.DataFrame) -> Compared:
    """Compare all columns of `current`; one that can't be compared hides no other."""
    failed: dict[str, str] = {}
    kinds: dict[str, ColumnType] = {}
    for column in current.columns:
        if why := _unusable(current, reference, column):
            failed[column] = why
            continue
        numeric = pd.api.types.is_numeric_dtype(current[column])
        kinds[column] = ColumnType.Numerical if numeric else ColumnType.Categorical
    for column in list(kinds):
        try:
            _run(current, reference, {column: kinds[column]}, {column: 0.1})
        except Exception as error:  # Evidently's, of whatever kind: it must not hide the rest
            # Only its kind is told: its words may repeat data.
            failed[column] = f"Evidently failed: {type(error).__name__}"
            del kinds[column]
    if not kinds:
        return Compared({}, {}, failed, None, {})
    thresholds = _calibrate(reference, kinds, size=len(current))
    snapshot = _run(current, reference, kinds, thresholds)
    document = json.loads(snapshot.json())
    scores = {metric["config"]["column"]: float(metric["value"]) for metric in document["metrics"]}
    return Compared(scores, thresholds, failed, snapshot.get_html_str(as_iframe=False), document)


def _unusable(current: pd.DataFrame, reference: pd.DataFrame, column: str) -> str | None:
    if column not in reference:
        return "the reference doesn't have it"
    for whose, table in (("the day", current), ("the reference", reference)):
        count = int(table[column].notna().sum())
        if count < MIN_ROWS:
            return f"{whose} has {count} values; {MIN_ROWS} are needed"
    return None


def _run(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    kinds: Mapping[str, ColumnType],
    thresholds: Mapping[str, float],
) -> Any:
    columns = list(kinds)
    definition = DataDefinition(
        numerical_columns=[c for c in columns if kinds[c] == ColumnType.Numerical],
        categorical_columns=[c for c in columns if kinds[c] == ColumnType.Categorical],
    )
    report = Report([ValueDrift(column=c, method="psi", threshold=thresholds[c]) for c in columns])
    return report.run(
        Dataset.from_pandas(current[columns], definition),
        Dataset.from_pandas(reference[columns], definition),
    )


def _calibrate(
    reference: pd.DataFrame, kinds: Mapping[str, ColumnType], *, size: int
) -> dict[str, float]:
    """From which score on a column drifted, by drawing both sides from the reference.

    Rows are drawn whole, so what columns have to do with each other is kept, and all thresholds
    are raised by the same factor until of a hundred draws one has any column above its own: the
    largest of many statistics (Westfall, Young, "Resampling-based multiple testing", 1993).
    """
    random = np.random.default_rng(0)
    rows = len(reference)
    scores = np.empty((_DRAWS, len(kinds)))
    for draw in range(_DRAWS):
        then = reference.iloc[random.integers(0, rows, rows)]
        now = reference.iloc[random.integers(0, rows, size)]
        scores[draw] = [
            psi_stat_test.func(then[column].dropna(), now[column].dropna(), kind, 0.1)[0]
            for column, kind in kinds.items()
        ]
    usual = np.maximum(np.quantile(scores, 0.9, axis=0), 1e-4)
    factor = np.quantile((scores / usual).max(axis=1), 1 - _CHANCE)
    return dict(zip(kinds, (usual * factor).tolist(), strict=True))
