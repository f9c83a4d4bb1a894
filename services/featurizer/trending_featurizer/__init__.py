"""The featurizer: clean titles in; features, trends, catalog and dataset snapshots out."""
