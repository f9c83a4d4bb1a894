"""The trainer: from a dataset to a model that earned its place."""
