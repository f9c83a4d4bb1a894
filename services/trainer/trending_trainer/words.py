"""Models that read a text as words and pieces of words: two baselines, a linear and a boosted one.

Each answers for each genre on its own, learning from the titles of which it is known: a logistic
regression with an L2 penalty, or boosted trees (Chen, Guestrin, "XGBoost: a scalable tree boosting
system", KDD 2016). Everything random has a fixed seed and each classifier is fitted by one thread:
the same titles in the same order give the same model.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from xgboost import XGBClassifier

from trending_shared.evaluation import UNKNOWN
from trending_shared.genres import GENRES
from trending_trainer.training_set import TrainingSet

MIN_EXAMPLES = (
    5  # titles with, and without, a genre; a classifier of fewer would recite their words
)
UNTRAINED_PROBABILITY = 0.001
UNTRAINED = float(logit(UNTRAINED_PROBABILITY))
"""The log-odds of a genre that a model can't tell."""

Params = Mapping[str, Any]

# `without_facts` is the share of titles that are read once more as if only their story were known.
LOGREG: Params = {"C": 4.0, "kind_weight": 2.0, "without_facts": 1.0}
XGBOOST: Params = {
    "n_estimators": 120,
    "max_depth": 6,
    "learning_rate": 0.15,
    "min_child_weight": 0.2,  # of a few hundred titles a genre has two dozen
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "without_facts": 1.0,
    "positive_weight": 0.5,  # power of the ratio; in full, trees chase the few positives
}

# Patterns are ASCII and hold no look-around, so that Python and onnxruntime (RE2) agree.
_WORD = "[a-z0-9_]+"
# The first piece of a word is much like its stem, which matters to trees: they see few words each.
_PIECE = "[a-z]{1,5}"
_WORKERS = 2
_SEED = 0

KEYWORDS: Mapping[str, str] = {
    "Action & Adventure": "action adventure mission battle fight fights assassin warrior mercenary "
    "treasure quest rescue soldier soldiers combat martial superhero vigilante",
    "Anime": "anime manga ninja samurai demon pirate alchemist shinobi country_japan",
    "Comedy": "comedy hilarious funny laughs comic sitcom mischief antics awkward misadventures",
    "Crime": "crime murder detective police cop gangster mafia heist cartel drug killer fbi crimes",
    "Documentary": "documentary documents interviews footage archival explores chronicles examines "
    "docuseries filmmaker history",
    "Drama": "family struggles grief war marriage secrets life past daughter son mother father",
    "Faith & Spirituality": "faith god church pastor christian prayer bible spiritual religious",
    "Horror": "horror haunted ghost demon evil terrifying zombie zombies curse vampire monster",
    "Kids & Family": "kids children animated princess puppy magical friends toys dinosaur learning "
    "adventures cartoon",
    "Music & Musicals": "music musical concert band singer songs tour album musician rapper",
    "Reality": "reality contestants compete competition hosts makeover dating experts chefs",
    "Romance": "love romance romantic falls wedding affair sparks couple lovers",
    "Sci-Fi & Fantasy": "alien aliens space planet future robot magic supernatural fantasy earth "
    "powers futuristic",
    "Sports": "sports football soccer basketball boxing coach athlete team championship racing",
    "Stand-Up & Talk": "comedian comedians standup stand stage jokes special talk host",
    "Thriller & Mystery": "thriller mystery mysterious conspiracy kidnapped stalker suspense "
    "investigate disappearance",
}
"""Rules that a person would write in an hour: what a model must beat to be worth having."""


@dataclass(frozen=True, slots=True)
class LinearModel:
    """One column of weights a genre."""

    features: FeatureUnion
    weights: NDArray[np.float32]
    """Shape (columns, 16)."""
    offsets: NDArray[np.float32]
    """Shape (16,)."""

    def log_odds(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
        """What the model says of composed texts: (len(texts), 16), columns as `GENRES`."""
        if not len(texts):
            return np.empty((0, len(GENRES)), np.float32)
        columns: csr_matrix = csr_matrix(self.features.transform(texts))
        return np.asarray(columns @ self.weights + self.offsets, np.float32)


@dataclass(frozen=True, slots=True)
class TreeModel:
    """One booster a genre; none where the titles gave too few examples."""

    features: FeatureUnion
    boosters: tuple[XGBClassifier | None, ...]

    def log_odds(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
        """What the model says of composed texts: (len(texts), 16), columns as `GENRES`."""
        answers = np.full((len(texts), len(GENRES)), UNTRAINED, np.float32)
        if not len(texts):
            return answers
        columns = csr_matrix(self.features.transform(texts))
        for index, booster in enumerate(self.boosters):
            if booster is not None:
                answers[:, index] = booster.predict(columns, output_margin=True)
        return answers


def learnable(labels: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which genres have `MIN_EXAMPLES` titles, and as many known to be without: (16,)."""
    counts = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return np.asarray(counts >= MIN_EXAMPLES)


def fit_keywords(titles: TrainingSet, params: Params) -> LinearModel:
    """Count each genre's keywords; nothing is learned."""
    words = sorted({word for words in KEYWORDS.values() for word in words.split()})
    reader = TfidfVectorizer(
        token_pattern=_WORD, vocabulary=words, lowercase=False, use_idf=False, norm=None
    )
    weights = np.array(
        [[word in KEYWORDS[genre].split() for genre in GENRES] for word in words], np.float32
    )
    features = FeatureUnion([("words", reader)]).fit(titles.texts)
    return LinearModel(features, weights, np.zeros(len(GENRES), np.float32))


def fit_logreg(titles: TrainingSet, params: Params) -> LinearModel:
    """Words and their pairs, and pieces of four characters, each row of length one.

    Args:
        params: those of `LOGREG`.
    """
    features = FeatureUnion(
        [
            ("words", _reader(token_pattern=_WORD, ngram_range=(1, 2), min_df=2)),
            ("pieces", _reader(analyzer="char", ngram_range=(4, 4), min_df=5)),
        ]
    ).fit(titles.texts)
    words = features.named_transformers["words"]
    names = words.get_feature_names_out()
    of_kind = np.array([name.startswith("kind_") and " " not in name for name in names])
    # Some genres exist for one kind only; a lone token would drown in a long plot.
    words.idf_ = words.idf_ * np.where(of_kind, params["kind_weight"], 1.0)
    read = titles.also_without_facts(params["without_facts"])
    columns = csr_matrix(features.transform(read.texts))
    return LinearModel(features, *fit_linear(columns, read, C=params["C"]))


def fit_linear(
    columns: csr_matrix | NDArray[np.float32], titles: TrainingSet, *, C: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A logistic regression a genre, over the titles of which it is known.

    Args:
        columns: what is known of each title, (n, width).
        C: the inverse of the penalty's strength.

    Returns:
        Weights (width, 16) and offsets (16,).
    """

    def fit(index: int) -> tuple[NDArray[np.float32], float]:
        known = titles.labels[:, index] != UNKNOWN
        model = LogisticRegression(
            C=C, class_weight="balanced", solver="liblinear", random_state=_SEED
        ).fit(columns[known], titles.labels[known, index])
        return model.coef_[0].astype(np.float32), float(model.intercept_[0])

    weights = np.zeros((columns.shape[1], len(GENRES)), np.float32)
    offsets = np.full(len(GENRES), UNTRAINED, np.float32)
    wanted = np.flatnonzero(learnable(titles.labels))
    with ThreadPoolExecutor(_WORKERS) as pool:
        for index, (column, offset) in zip(wanted, pool.map(fit, wanted), strict=True):
            weights[:, index], offsets[index] = column, offset
    return weights, offsets


def fit_xgboost(titles: TrainingSet, params: Params) -> TreeModel:
    """Plain counts of words and of their first pieces.

    The inverse document frequency is a factor for each column, which no tree can see; the row's
    norm makes trees worse, as a word's value then depends on the length of the plot. Counts are
    also exact in float32, so no export can round one across a split.

    Args:
        params: those of `XGBOOST`.
    """
    common = {"use_idf": False, "norm": None, "min_df": 2 if len(titles) < 2000 else 5}
    features = FeatureUnion(
        [
            ("words", _reader(token_pattern=_WORD, **common)),
            ("pieces", _reader(token_pattern=_PIECE, **common)),
        ]
    ).fit(titles.texts)
    read = titles.also_without_facts(params["without_facts"])
    columns = csr_matrix(features.transform(read.texts))
    wanted = learnable(titles.labels)
    ours = ("positive_weight", "without_facts")
    settings = {name: value for name, value in params.items() if name not in ours}

    def fit(index: int) -> XGBClassifier | None:
        if not wanted[index]:
            return None
        known = read.labels[:, index] != UNKNOWN
        answers = read.labels[known, index]
        positives = int(answers.sum())
        return XGBClassifier(
            **settings,
            scale_pos_weight=((len(answers) - positives) / positives) ** params["positive_weight"],
            base_score=0.5,
            tree_method="hist",
            max_bin=16,  # a word rarely occurs more often
            n_jobs=1,
            random_state=_SEED,
        ).fit(columns[known], answers)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return TreeModel(features, tuple(pool.map(fit, range(len(GENRES)))))


def _reader(**settings: Any) -> TfidfVectorizer:
    return TfidfVectorizer(
        lowercase=False,  # the texts are, and ONNX's StringNormalizer wants a locale
        sublinear_tf=False,  # skl2onnx writes log(1 + count) for scikit-learn's 1 + log(count)
        dtype=np.float32,
        **settings,
    )
