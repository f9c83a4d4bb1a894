"""The walk without Kafka: from a raw snapshot to a dataset, by the services' own functions."""
