"""The families of models by name, and what each takes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trending_trainer.exporting import export_linear, export_trees
from trending_trainer.sentences import EMBEDDING, export_sentences, fit_sentences
from trending_trainer.training import Family, Model, Workspace
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import (
    LOGREG,
    XGBOOST,
    Params,
    fit_keywords,
    fit_logreg,
    fit_xgboost,
)

BERT: Params = {
    "model": "",  # of Hugging Face, or a folder; empty for the installed sentence encoder
    "epochs": 4,
    "rate_epochs": 4,  # over which the learning rate rises and falls
    "patience": 2,  # epochs without a better out-of-fold answer before a fit ends
    "batch_size": 32,
    "learning_rate": 1e-4,
    "head_rate": 10.0,  # times the learning rate, for the one matrix that starts from nothing
    "weight_decay": 0.01,
    "warm_up": 0.1,  # share of the steps
    "dropout": 0.1,
    "fact_dropout": 0.3,  # share of titles whose kind and countries are hidden in an epoch
    "max_tokens": 128,
    "most_titles": 0,  # a sample of so many, for a quick look on a processor; 0 for all
    "seed": 0,
}


def family(
    name: str,
    *,
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    workspace: Workspace,
) -> Family:
    """The family of a name.

    Args:
        encode: the sentence encoder.
        workspace: where a long fit leaves how far it is.

    Raises:
        KeyError: there is none of this name.
        ModuleNotFoundError: what it needs isn't installed.
    """
    if name == "bert":
        # Here, because torch takes seconds and gigabytes, and is the extra `bert`.
        from trending_trainer.bert import export_bert, fit_bert, settle_bert

        fit = partial(fit_bert, workspace=workspace)
        return Family(name, fit, BERT, export_bert, folds=3, settle=settle_bert)
    return {
        "keywords": Family("keywords", _plain(fit_keywords), {}, None),
        "tfidf-logreg": Family(
            "tfidf-logreg", _plain(fit_logreg), LOGREG, lambda model: (export_linear(model), None)
        ),
        "tfidf-xgboost": Family(
            "tfidf-xgboost", _plain(fit_xgboost), XGBOOST, lambda model: (export_trees(model), None)
        ),
        "embedding-logreg": Family(
            "embedding-logreg",
            _plain(partial(fit_sentences, encode=encode)),
            EMBEDDING,
            export_sentences,
        ),
    }[name]


def _plain(fit: Callable[[TrainingSet, Params], Model]) -> Callable[..., Model]:
    """A fit that takes seconds: it neither stops early nor goes on from somewhere."""

    def fitted(titles: TrainingSet, params: Params, *_: Any) -> Model:
        return fit(titles, params)

    return fitted
