"""Two families of genre models over the same words: a linear one and a boosted one. Pure.

Both read a composed text as words and as word pieces, and answer for each genre on its own (one
classifier a genre): a logistic regression with an L2 penalty, or boosted trees (Chen, Guestrin,
"XGBoost: a scalable tree boosting system", KDD 2016). Everything random has a fixed seed and each
classifier is fitted by one thread: the same titles in the same order give the same model.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion
from xgboost import XGBClassifier

from trending_shared.errors import Rejected
from trending_shared.genres import GENRES
from trending_trainer.evaluation import evaluate
from trending_trainer.training_set import TrainingSet

Family = Literal["tfidf-logreg", "tfidf-xgboost"]
FAMILIES: tuple[Family, ...] = get_args(Family)

MIN_EXAMPLES = (
    5  # titles with, and without, a genre; a classifier of fewer would recite their words
)
UNTRAINED_PROBABILITY = 0.001
UNTRAINED_THRESHOLD = 0.5

# Both patterns are ASCII and hold no look-around, so that Python and onnxruntime (RE2) agree.
_WORD = "[a-z0-9_]+"
# The first piece of a word is much like its stem, which matters while titles are few; unlike
# character n-grams, pieces add a third to the columns rather than double them.
_PIECE = "[a-z]{1,5}"
_KIND_WEIGHT = 2.0  # some genres exist for one kind only; a lone token would drown in a long plot
_WORKERS = 2
_SEED = 0


class TooFewTitles(Rejected):
    """A dataset holds too few labelled titles to fit anything."""


@dataclass(frozen=True, slots=True)
class GenreModel:
    """A fitted model; it lives as long as a training run, and only its ONNX export is kept."""

    family: Family
    features: FeatureUnion
    classifiers: tuple[LogisticRegression | XGBClassifier | None, ...]
    """In the order of `GENRES`; none where the titles gave too few examples."""
    thresholds: dict[str, float]
    validation_f1: float
    """Macro-F1 at these thresholds of answers that models gave to titles they hadn't seen."""

    @property
    def untrained(self) -> tuple[str, ...]:
        """Genres that the model can't tell; it gives each a constant, low probability."""
        return tuple(
            genre
            for genre, classifier in zip(GENRES, self.classifiers, strict=True)
            if classifier is None
        )

    def probabilities(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
        """What the model says of composed texts: float32 (len(texts), 16), columns as `GENRES`."""
        if not len(texts):
            return np.empty((0, len(GENRES)), np.float32)
        return _answer(self.classifiers, self.features.transform(texts))


def train(family: Family, titles: TrainingSet, *, folds: int = 5) -> GenreModel:
    """Fit a model on all titles but those of the test split.

    The thresholds come from out-of-fold scores: each title is judged by a model that didn't see it.
    So none of them has to be set aside, which decides for catalogues of a few hundred titles.

    Args:
        folds: parts that take turns at being judged.

    Raises:
        TooFewTitles: there are fewer titles than folds, or no genre has `MIN_EXAMPLES`.
    """
    seen = titles.only("train", "validation")
    if len(seen) < folds:
        raise TooFewTitles(f"{len(seen)} labelled titles can't be cut into {folds} folds")
    counts = seen.labels.sum(axis=0)
    wanted = np.minimum(counts, len(seen) - counts) >= MIN_EXAMPLES
    if not wanted.any():
        raise TooFewTitles(f"no genre has {MIN_EXAMPLES} titles among {len(seen)}")
    scores = np.empty(seen.labels.shape, np.float32)
    for fitted, judged in KFold(folds, shuffle=True, random_state=_SEED).split(seen.texts):
        features, columns = _fit_features(family, seen.texts[fitted])
        classifiers = _fit_classifiers(family, columns, seen.labels[fitted], wanted)
        scores[judged] = _answer(classifiers, features.transform(seen.texts[judged]))
    thresholds = {
        genre: choose_threshold(seen.labels[:, index], scores[:, index])
        if wanted[index]
        else UNTRAINED_THRESHOLD
        for index, genre in enumerate(GENRES)
    }
    validation_f1 = evaluate(seen.labels, decide(scores, thresholds), seen.kinds).macro_f1
    features, columns = _fit_features(family, seen.texts)
    classifiers = _fit_classifiers(family, columns, seen.labels, wanted)
    return GenreModel(family, features, classifiers, thresholds, validation_f1)


def choose_threshold(
    labels: NDArray[np.integer], scores: NDArray[np.floating], *, width: float = 0.25
) -> float:
    """The probability from which on a genre is given: where F1 is high and stays high nearby.

    The best threshold for F1 depends on the genre and is rarely 0.5 (Lipton, Elkan, Naryanaswamy,
    "Optimal thresholding of classifiers to maximize F1 measure", ECML PKDD 2014). For rare genres
    F1 over the threshold is a jagged line whose highest point is luck, so a Gaussian window over
    the log-odds smooths it first.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) probabilities.
        width: standard deviation of the window, in log-odds.

    Returns:
        Within 0.0025 and 0.9975.
    """
    odds = np.linspace(-6.0, 6.0, 481)
    above = logit(np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6))[:, None] >= odds
    hits = (above & (labels[:, None] == 1)).sum(axis=0)
    f1 = 2 * hits / np.maximum(above.sum(axis=0) + labels.sum(), 1)
    window = np.exp(-0.5 * ((odds[:, None] - odds) / width) ** 2)
    smooth = window @ f1 / window.sum(axis=1)
    return float(1 / (1 + np.exp(-odds[smooth.argmax()])))


def decide(probabilities: NDArray[np.float32], thresholds: dict[str, float]) -> NDArray[np.bool_]:
    """Which genres are given: those at or above their thresholds, compared as the gateway does.

    Shapes: (n, 16) to (n, 16), columns as `GENRES`.
    """
    passes: NDArray[np.bool_] = probabilities >= np.array(
        [thresholds[genre] for genre in GENRES], np.float32
    )
    return passes


def _fit_features(family: Family, texts: NDArray[np.object_]) -> tuple[FeatureUnion, csr_matrix]:
    """Vocabularies and weights, and the texts' own columns (n, features), float32.

    Trees get plain counts. The inverse document frequency is a factor for each column, which no
    tree can see; the row's norm makes them worse, as a word's value then depends on the length of
    the plot. Counts are also exact in float32, so no export can round one across a split.
    """
    linear = family == "tfidf-logreg"
    common = {
        "lowercase": False,  # the texts are, and ONNX's StringNormalizer wants a locale
        "use_idf": linear,
        "sublinear_tf": False,  # skl2onnx writes log(1 + count) for scikit-learn's 1 + log(count)
        "norm": "l2" if linear else None,
        "min_df": 2 if linear or len(texts) < 2000 else 5,
        "dtype": np.float32,
    }
    union = FeatureUnion(
        [
            (
                "words",
                TfidfVectorizer(
                    token_pattern=_WORD, ngram_range=(1, 2) if linear else (1, 1), **common
                ),
            ),
            ("pieces", TfidfVectorizer(token_pattern=_PIECE, **common)),
        ]
    )
    union.fit(texts)
    words = union.named_transformers["words"]
    if linear:
        names = words.get_feature_names_out()
        heavier = np.array([name.startswith("kind_") and " " not in name for name in names])
        words.idf_ = words.idf_ * np.where(heavier, _KIND_WEIGHT, 1.0)
    return union, csr_matrix(union.transform(texts))


def _fit_classifiers(
    family: Family,
    columns: csr_matrix,
    labels: NDArray[np.int8],
    wanted: NDArray[np.bool_],
) -> tuple[LogisticRegression | XGBClassifier | None, ...]:
    """One classifier a genre; none where it isn't wanted or has one answer only."""

    def fit(index: int) -> LogisticRegression | XGBClassifier | None:
        answers = labels[:, index]
        positives = int(answers.sum())
        if not wanted[index] or positives in (0, len(answers)):
            return None
        return _classifier(family, (len(answers) - positives) / positives).fit(columns, answers)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return tuple(pool.map(fit, range(len(GENRES))))


def _classifier(family: Family, negatives_per_positive: float) -> Any:
    if family == "tfidf-logreg":
        return LogisticRegression(
            C=4.0, class_weight="balanced", solver="liblinear", random_state=_SEED
        )
    return XGBClassifier(
        n_estimators=120,
        max_depth=6,
        learning_rate=0.15,
        min_child_weight=0.2,  # of a few hundred titles a genre has two dozen
        subsample=0.7,
        colsample_bytree=0.3,
        # The full ratio makes the trees chase the few positives of rare genres.
        scale_pos_weight=negatives_per_positive**0.5,
        base_score=0.5,
        tree_method="hist",
        max_bin=16,  # a word rarely occurs more often
        n_jobs=1,
        random_state=_SEED,
    )


def _answer(
    classifiers: Sequence[LogisticRegression | XGBClassifier | None], columns: csr_matrix
) -> NDArray[np.float32]:
    answers = np.full((columns.shape[0], len(classifiers)), UNTRAINED_PROBABILITY, np.float32)
    for index, classifier in enumerate(classifiers):
        if classifier is not None:
            answers[:, index] = classifier.predict_proba(columns)[:, 1]
    return answers
