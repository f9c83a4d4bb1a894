"""The featurizer as a process: `python -m trending_featurizer`."""

from trending_featurizer.app import create_app
from trending_featurizer.settings import FeaturizerSettings
from trending_shared.process import run

if __name__ == "__main__":
    run("featurizer", FeaturizerSettings, create_app)
